#include "agent/enrich/proctree.h"
