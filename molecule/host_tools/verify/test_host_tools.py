"""The host's Python runs the kit's programs from one file, which root owns and whose bytes are the controller's."""

from encaja.zipapps import build

FILE = "/usr/local/lib/encaja/encaja.pyz"


def test_it_is_what_the_controller_builds(host):
    placed = host.file(FILE)
    assert placed.content == build()
    assert (placed.user, placed.group, placed.mode) == ("root", "root", 0o644)


def test_debian_s_python_runs_it(host):
    done = host.run(f"/usr/bin/python3 -I {FILE} no-such-tool job.json")
    assert done.rc == 2
    assert done.stderr.startswith("usage: ") and "restore" in done.stderr
