#include "agent/ctl/finding_types.h"

#define COMMANDS "By arguments of programs that start: what a running shell does by itself (built-in commands) starts no program."
#define LISTED "Every packet's destination, by your lists: as good as they are. Flows need not be answered."
#define LISTED_NAMES "Every name asked for over port 53, by your lists: as good as they are. Names asked for over TLS or HTTPS are not seen."
#define BESIDE "Together with other suspicious activity of the same task; changes on volumes that no sensor watches are not seen."

const struct finding_type finding_types[N_FINDING_TYPES] = {
    { "Execution:Runtime/NewBinaryExecuted", COVERED_FULLY,
      "Every binary that is new in its container, whoever thinks well or ill of it. On volumes those that the container itself wrote. A "
      "script counts by its interpreter." },
    { "Execution:Runtime/NewLibraryLoaded", COVERED_PARTLY,
      "Libraries whose writing the file sensor sees: not those of volumes that it does not watch." },
    { "Execution:Runtime/ReverseShell", COVERED_PARTLY,
      "From descriptors, not command lines. Not seen: a program that copies the data itself above descriptor 2, a "
      "shell that opens its own socket; the rules on command lines "
      "find the usual ones of these." },
    { "Execution:Runtime/SuspiciousTool", COVERED_PARTLY,
      "By name; under another name by build id or content, if its file is new in the container and the container or the host "
      "has the original at a usual place." },
    { "Execution:Runtime/SuspiciousCommand", COVERED_PARTLY, COMMANDS },
    { "Execution:Runtime/MaliciousFileExecuted", COVERED_PARTLY,
      "By SHA-256 lists of category malware that you provide; none come with ecsguard." },
    { "Execution:Runtime/MaliciousFileExecuted.Custom", COVERED_FULLY, "By your own SHA-256 lists; execution only, files up to 256 MiB." },
    { "Execution:Runtime/SuspiciousShellCreated", COVERED_PARTLY,
      "Services are told by the name of the shell's parent, terminals by who made them." },
    { "Impact:Runtime/CryptoMinerExecuted", COVERED_PARTLY,
      "By name, arguments, and CPU use with evidence of mining; a throttled miner under another name without arguments is not seen." },
    { "DefenseEvasion:Runtime/FilelessExecution", COVERED_FULLY,
      "Every execution of a memfd, of /dev/shm, or of a deleted file. Code that is only mapped is no execution." },
    { "DefenseEvasion:Runtime/ProcessInjection.Proc", COVERED_FULLY,
      "Every open for writing of another process' mem file; not in a /proc that is mounted later in a running container, nor if the "
      "target ended before the event was read." },
    { "DefenseEvasion:Runtime/ProcessInjection.Ptrace", COVERED_FULLY, "Every attach to a process that the tracer did not start." },
    { "DefenseEvasion:Runtime/ProcessInjection.VirtualMemoryWrite", COVERED_BY_SYSCALLS, "Nothing else shows the call." },
    { "DefenseEvasion:Runtime/PtraceAntiDebugging", COVERED_BY_SYSCALLS, "Nothing else shows the call." },
    { "DefenseEvasion:Runtime/SuspiciousCommand", COVERED_PARTLY, COMMANDS },
    { "DefenseEvasion:Runtime/KernelModuleLoaded", COVERED_PARTLY,
      "Every module that is loaded, by name, but for the usual ones; which process loaded it is told by its command line, or by the "
      "system call sensor." },
    { "DefenseEvasion:Runtime/SensitiveFileModified", COVERED_PARTLY, BESIDE },
    { "Discovery:Runtime/SuspiciousCommand", COVERED_PARTLY, COMMANDS },
    { "Persistence:Runtime/SuspiciousCommand", COVERED_PARTLY, COMMANDS },
    { "Persistence:Runtime/SensitiveFileModified", COVERED_PARTLY, BESIDE },
    { "PrivilegeEscalation:Runtime/SuspiciousCommand", COVERED_PARTLY, COMMANDS },
    { "PrivilegeEscalation:Runtime/SensitiveFileModified", COVERED_PARTLY, BESIDE },
    { "PrivilegeEscalation:Runtime/ElevationToRoot", COVERED_FULLY,
      "Unusual setuid programs, and ids that become root's without one. sudo, su and the like are left out." },
    { "PrivilegeEscalation:Runtime/DockerSocketAccessed", COVERED_PARTLY,
      "Sockets of containers are listed every few seconds: a connection that lives shorter is seen by its command line or not at all." },
    { "PrivilegeEscalation:Runtime/RuncContainerEscape", COVERED_PARTLY,
      "Changes of runtimes at their usual paths; a leaked directory where the kernel shows its path, or the command names it." },
    { "PrivilegeEscalation:Runtime/CGroupsReleaseAgentModified", COVERED_PARTLY,
      "A control group file system that the container mounted itself is watched from when its mount was noticed." },
    { "PrivilegeEscalation:Runtime/ContainerMountsHostDirectory", COVERED_PARTLY,
      "From the container's mount table: a mount that is undone at once can be missed without the system call sensor." },
    { "PrivilegeEscalation:Runtime/UserfaultfdUsage", COVERED_BY_SYSCALLS, "Nothing else shows the call." },
    { "CryptoCurrency:Runtime/BitcoinTool.B", COVERED_PARTLY, LISTED },
    { "CryptoCurrency:Runtime/BitcoinTool.B!DNS", COVERED_PARTLY, LISTED_NAMES },
    { "Backdoor:Runtime/C&CActivity.B", COVERED_PARTLY, LISTED },
    { "Backdoor:Runtime/C&CActivity.B!DNS", COVERED_PARTLY, LISTED_NAMES },
    { "UnauthorizedAccess:Runtime/TorRelay", COVERED_PARTLY,
      "By the number of different listed relays that a task is connected with, in both directions." },
    { "UnauthorizedAccess:Runtime/TorClient", COVERED_PARTLY, "By lists of guards and authorities, or two relays; bridges are on no list." },
    { "Trojan:Runtime/BlackholeTraffic", COVERED_PARTLY, LISTED },
    { "Trojan:Runtime/BlackholeTraffic!DNS", COVERED_PARTLY, LISTED_NAMES },
    { "Trojan:Runtime/DropPoint", COVERED_PARTLY, LISTED },
    { "Trojan:Runtime/DropPoint!DNS", COVERED_PARTLY, LISTED_NAMES },
    { "Trojan:Runtime/DGADomainRequest.C!DNS", COVERED_PARTLY, LISTED_NAMES },
    { "Trojan:Runtime/DriveBySourceTraffic!DNS", COVERED_PARTLY, LISTED_NAMES },
    { "Trojan:Runtime/PhishingDomainRequest!DNS", COVERED_PARTLY, LISTED_NAMES },
    { "Impact:Runtime/AbusedDomainRequest.Reputation", COVERED_PARTLY, LISTED_NAMES },
    { "Impact:Runtime/BitcoinDomainRequest.Reputation", COVERED_PARTLY, LISTED_NAMES },
    { "Impact:Runtime/MaliciousDomainRequest.Reputation", COVERED_PARTLY, LISTED_NAMES },
    { "Impact:Runtime/SuspiciousDomainRequest.Reputation", COVERED_PARTLY, LISTED_NAMES },
    { "UnauthorizedAccess:Runtime/MetadataDNSRebind", COVERED_PARTLY,
      "Every answer over port 53, also behind aliases and in IPv6; not names in /etc/hosts, nor DNS over TLS or HTTPS." },
};

const char *finding_type_coverage(const struct finding_type *type)
{
    switch (type->coverage) {
    case COVERED_FULLY:
        return "fully";
    case COVERED_PARTLY:
        return "partly";
    case COVERED_BY_SYSCALLS:
        return "only with sensors.syscalls";
    }
    return "";
}
