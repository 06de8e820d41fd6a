#ifndef ECSGUARD_UPLOAD_H
#define ECSGUARD_UPLOAD_H

#endif
