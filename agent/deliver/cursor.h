#ifndef ECSGUARD_CURSOR_H
#define ECSGUARD_CURSOR_H

#endif
