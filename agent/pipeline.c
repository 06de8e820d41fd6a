#include "agent/pipeline.h"
