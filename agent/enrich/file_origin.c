#include "agent/enrich/file_origin.h"
