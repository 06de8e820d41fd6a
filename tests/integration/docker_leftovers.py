"""What a dockerd leaves behind: the control groups of tasks, which nobody removes (a host with thousands of them is no host of ECS), and mounts."""
import glob
import os
import subprocess

PARENTS = ("/sys/fs/cgroup/*/ecs/", "/sys/fs/cgroup/ecs/")


def task_name(pid, number):
    """A task id of no other process that tests on this machine."""
    return f"{pid:08x}{number:024x}"


def is_of_dead(name):
    return len(name) == 32 and name[8:24] == 16 * "0" and not os.path.exists(f"/proc/{int(name[:8], 16)}")


def remove_groups(*tasks):
    """Empty ones of these tasks; the kernel refuses for those in use."""
    for pattern in PARENTS:
        for task in tasks:
            for path in glob.glob(pattern + task):
                try:
                    os.rmdir(path)
                except OSError:
                    pass


def remove_groups_of_dead():
    """What runs have left that were killed."""
    remove_groups(*{name for pattern in PARENTS for name in map(os.path.basename, glob.glob(pattern + 32 * "[0-9a-f]")) if is_of_dead(name)})


def unmount_below(directory):
    """Of its own directory: layers, and the network namespace that it keeps."""
    for line in reversed(open("/proc/self/mounts").read().splitlines()):
        point = line.split()[1]
        if point.startswith(f"{directory}/"):
            subprocess.run(["umount", point], check=False)
