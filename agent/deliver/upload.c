#include "agent/deliver/upload.h"
