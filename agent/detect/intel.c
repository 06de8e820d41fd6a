#include "agent/detect/intel.h"
