#include "agent/detect/detector.h"
