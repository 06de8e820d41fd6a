#include "agent/writer.h"
