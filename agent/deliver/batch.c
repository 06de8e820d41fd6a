#include "agent/deliver/batch.h"
