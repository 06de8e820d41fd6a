"""An image with what ordinary containers run, made of the Debian packages of this machine: nothing is fetched.

The files of a package, and of what it depends on, are copied as dpkg lists them, with dpkg's own database for just these packages, so
that apt and dpkg work inside. Daemons keep their users of this machine's passwd.
"""

import hashlib
import os
import pathlib
import re
import shutil
import subprocess

# What containers are made of, by a file that is there when the package is.
PROGRAMS = ["/usr/sbin/nginx", "/usr/bin/redis-server", "/usr/bin/redis-cli", "/usr/sbin/cron", "/usr/sbin/logrotate", "/usr/sbin/gosu", "/usr/bin/curl",
            "/usr/bin/envsubst", "/usr/bin/apt-get"]
PACKAGES = ["base-files", "base-passwd", "bash", "coreutils", "dash", "debianutils", "diffutils", "dpkg", "findutils", "gzip", "grep", "hostname",
            "libc-bin", "login", "mawk", "ncurses-base", "passwd", "procps", "python3-minimal", "sed", "tar", "util-linux"]
NAMES = ["nginx:1.22", "redis:7", "postgres:15", "shop/app:8", "shop/batch:3", "build/deb:2"]
# Needed by nothing that the containers do, and large; postgres loads LLVM only for costly queries.
LEFT_OUT = re.compile(r"libllvm|perl|ssl-cert|postgresql-common|postgresql-client-common|media-types|tzdata|locales|libicu-dev|systemd$|python3\..*-dev")
LEFT_OUT_FILES = re.compile(r"/usr/share/(doc|man|locale|info|lintian|perl|i18n)/|/llvmjit|/bitcode/|\.a$|/70debconf$")


def postgres_dir():
    """Where postgres, initdb and the like are, or None."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else None


def missing():
    """What of this machine the image lacks; empty when it can be made."""
    if not shutil.which("dpkg-query"):
        return "dpkg"
    lost = [p for p in PROGRAMS if not os.path.exists(p)] + ([] if postgres_dir() else ["postgres"])
    return " ".join(lost)


def installed():
    """{package: names it depends on}, and {provided name: package}."""
    out = subprocess.run(["dpkg-query", "-W", "-f", "${db:Status-Status}\t${Package}\t${Depends}, ${Pre-Depends}\t${Provides}\n"],
                         capture_output=True, text=True, check=True).stdout
    depends, provided = {}, {}
    for line in out.splitlines():
        status, package, needs, provides = line.split("\t")
        if status != "installed":
            continue
        depends[package] = [[re.split(r"[ :(]", one.strip())[0] for one in group.split("|")] for group in needs.split(",") if group.strip()]
        for name in provides.split(","):
            provided.setdefault(re.split(r"[ (]", name.strip())[0], package)
    return depends, provided


def closure(wanted):
    depends, provided = installed()
    todo, found = list(wanted), set()
    while todo:
        name = todo.pop()
        package = name if name in depends else provided.get(name)
        if not package or package in found or LEFT_OUT.match(package):
            continue
        found.add(package)
        for alternatives in depends[package]:
            here = next((a for a in alternatives if a in depends or a in provided), None)
            if here:
                todo.append(here)
    return found


def owners(files):
    # dpkg knows files by the path they were packed with, before /bin became /usr/bin
    names = [n for f in files for n in (f, f.removeprefix("/usr"))]
    out = subprocess.run(["dpkg-query", "-S", *names], capture_output=True, text=True).stdout
    return {line.split(":")[0] for line in out.splitlines()}


def python_packages():
    version = os.path.basename(os.path.realpath("/usr/bin/python3"))
    return [version, f"lib{version}-stdlib"]


def copy_files(packages, root):
    listed = subprocess.run(["dpkg-query", "-L", *sorted(packages)], capture_output=True, text=True).stdout.splitlines()
    names = root.parent / "names"
    with open(names, "w") as f:
        for path in sorted(set(listed)):
            if path.startswith("/") and path != "/." and not LEFT_OUT_FILES.search(path) and os.path.lexists(path):
                f.write("." + os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)) + "\n")
    subprocess.run(f"tar -C / --no-recursion -T {names} -c 2>/dev/null | tar -C {root} -x", shell=True, check=True)


def copy_dpkg_database(packages, root):
    state = root / "var/lib/dpkg"
    (state / "info").mkdir(parents=True, exist_ok=True)
    (state / "updates").mkdir(exist_ok=True)
    (state / "triggers").mkdir(exist_ok=True)
    stanzas = pathlib.Path("/var/lib/dpkg/status").read_text().split("\n\n")
    kept = [s for s in stanzas if (m := re.match(r"Package: (\S+)", s)) and m.group(1) in packages]
    # what was left out counts as there: nothing in the containers is about it
    (state / "status").write_text("\n\n".join(re.sub(r"(?m)^(Pre-)?Depends:.*\n", "", s + "\n").rstrip() for s in kept) + "\n\n")
    for f in pathlib.Path("/var/lib/dpkg/info").iterdir():
        if f.stem.split(":")[0] in packages:
            shutil.copy2(f, state / "info" / f.name)


def write_accounts(root):
    etc = root / "etc"
    for name in ("passwd", "group"):
        lines = [l for l in pathlib.Path("/etc", name).read_text().splitlines() if int(l.split(":")[2]) < 1000 or l.startswith("nobody:")]
        (etc / name).write_text("\n".join(lines) + "\n")
    users = [l.split(":")[0] for l in (etc / "passwd").read_text().splitlines()]
    (etc / "shadow").write_text("".join(f"{u}:*:19000:0:99999:7:::\n" for u in users))
    os.chmod(etc / "shadow", 0o640)


def own_package(root):
    """A package of our own in a repository of files, as an artefact of a build is: a program, a configuration and a postinst."""
    tree, repo = root.parent / "deb", root / "srv/repo"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "etc").mkdir()
    repo.mkdir(parents=True)
    arch = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
    shutil.copy2("/usr/bin/tac", tree / "usr/bin/lifetool")
    (tree / "etc/lifetool.conf").write_text("level = 1\n")
    control = f"Package: lifetool\nVersion: 1.2\nArchitecture: {arch}\nMaintainer: nobody <nobody@example.org>\nDescription: reverses lines\n"
    (tree / "DEBIAN/control").write_text(control)
    (tree / "DEBIAN/postinst").write_text("#!/bin/sh\nset -e\nmkdir -p /var/lib/lifetool\nchmod 750 /var/lib/lifetool\nldconfig\n")
    os.chmod(tree / "DEBIAN/postinst", 0o755)
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, repo / "lifetool.deb"], check=True, capture_output=True)
    data = (repo / "lifetool.deb").read_bytes()
    (repo / "Packages").write_text(control + f"Filename: ./lifetool.deb\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n\n")
    for f in (root / "etc/apt/sources.list.d", root / "var/lib/apt/lists/partial", root / "var/cache/apt/archives/partial", root / "etc/apt/apt.conf.d"):
        f.mkdir(parents=True, exist_ok=True)
    (root / "etc/apt/sources.list").write_text("deb [trusted=yes] file:/srv/repo ./\n")


def make_rootfs(root):
    """Fills the empty directory `root`."""
    for d in ["usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "tmp", "proc", "dev", "sys", "etc", "root", "run", "var/tmp", "var/log", "var/spool/cron/crontabs",
              "var/lib/redis", "var/lib/nginx", "var/log/nginx", "var/www/html", "var/lib/postgresql", "run/postgresql"]:
        (root / d).mkdir(parents=True, exist_ok=True)
    for link in ("bin", "sbin", "lib", "lib64"):
        os.symlink(f"usr/{link}", root / link)
    packages = closure(owners([*PROGRAMS, str(postgres_dir() / "postgres"), str(postgres_dir() / "psql")]) | set(PACKAGES) | set(python_packages()))
    copy_files(packages, root)
    copy_dpkg_database(packages, root)
    write_accounts(root)
    shutil.copytree("/etc/alternatives", root / "etc/alternatives", symlinks=True, dirs_exist_ok=True)
    if not os.path.lexists(root / "usr/bin/awk"):
        os.symlink("/etc/alternatives/awk", root / "usr/bin/awk")
    for name in ("common-auth", "common-account", "common-session", "common-session-noninteractive", "common-password"):
        source = pathlib.Path("/etc/pam.d", name)
        if source.exists():
            shutil.copy2(source, root / "etc/pam.d" / name)
    os.chmod(root / "tmp", 0o1777)
    os.chmod(root / "var/tmp", 0o1777)
    for user, place in (("redis", "var/lib/redis"), ("postgres", "var/lib/postgresql"), ("postgres", "run/postgresql"), ("www-data", "var/lib/nginx")):
        shutil.chown(root / place, user, user)
    own_package(root)
    subprocess.run(["chroot", root, "/sbin/ldconfig"], check=True)


def make(docker, workdir):
    """Imports the image as life:1, and under the names that such images have elsewhere."""
    root = pathlib.Path(workdir) / "root"
    root.mkdir()
    make_rootfs(root)
    path = f"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:{postgres_dir()}"
    subprocess.run(f"tar -C {root} -c . | docker -H unix://{docker.socket} import --change 'ENV PATH={path}' - life:1 >/dev/null", shell=True, check=True)
    for name in NAMES:
        docker("tag", "life:1", name)
