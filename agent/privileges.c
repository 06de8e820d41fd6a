#include "agent/privileges.h"
