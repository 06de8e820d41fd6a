/* The 46 well-known types of findings, about processes, files and the kernel (28), and about the network and DNS (18): how far they are covered. */
#ifndef ECSGUARD_CTL_FINDING_TYPES_H
#define ECSGUARD_CTL_FINDING_TYPES_H

struct finding_type {
    const char *name;
    enum { COVERED_FULLY, COVERED_PARTLY, COVERED_BY_SYSCALLS } coverage; /* the last: only with the system call sensor */
    const char *why; /* what full means here, or what is missing */
};

#define N_FINDING_TYPES 46

extern const struct finding_type finding_types[N_FINDING_TYPES];

const char *finding_type_coverage(const struct finding_type *type); /* "fully" */

#endif
