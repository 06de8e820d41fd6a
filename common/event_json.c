#include "common/event_json.h"
