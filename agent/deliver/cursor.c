#include "agent/deliver/cursor.h"
