#include "agent/enrich/container_table.h"
