#include "agent/enrich/cgroup_path.h"
