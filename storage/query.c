#include "storage/query.h"
