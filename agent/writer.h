#ifndef ECSGUARD_WRITER_H
#define ECSGUARD_WRITER_H

#endif
