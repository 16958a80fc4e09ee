"""A host after role base: marked, with a firewall and the right time, and still reachable."""

import re

from testinfra.host import Host


def test_marker_names_the_environment(host: Host) -> None:
    assert host.file("/etc/encaja/environment").content_string == "test\n"


def test_time_zone_applies_to_every_program(host: Host) -> None:
    assert host.check_output("date +%Z%z") == "-05-0500"


def test_time_daemon_runs_and_does_not_set_the_container_hosts_clock(host: Host) -> None:
    assert host.service("chrony").is_running
    assert " -x" in host.check_output("ps -o args= -C chronyd")


def test_firewall_refuses_ports_that_are_not_open(host: Host) -> None:
    rules = host.check_output("nft list chain inet encaja input")
    assert "policy drop" in rules
    assert "tcp dport 22 accept" in rules
    assert "tcp dport 8080 accept" in rules
    assert "ip saddr 192.0.2.0/24 udp dport 9000-9010 accept" in rules
    assert "ip6 saddr 2001:db8::/32 udp dport 9000-9010 accept" in rules


def test_egress_chain_is_ready_for_rules_of_a_clone(host: Host) -> None:
    assert "jump encaja_egress" in host.check_output("nft list chain inet encaja output")
    assert host.file("/etc/nftables.d").is_directory


def test_rules_of_other_roles_survive_a_reload(host: Host) -> None:
    rule = "add rule inet encaja encaja_egress ip daddr 198.51.100.1 reject"
    host.check_output(f"echo '{rule}' > /etc/nftables.d/verify.nft && systemctl reload nftables")
    try:
        assert "198.51.100.1" in host.check_output("nft list chain inet encaja encaja_egress")
    finally:
        host.check_output("rm /etc/nftables.d/verify.nft && systemctl reload nftables")
    assert "198.51.100.1" not in host.check_output("nft list chain inet encaja encaja_egress")


def test_ssh_accepts_keys_only(host: Host) -> None:
    settings = host.check_output("sshd -T").splitlines()
    assert "passwordauthentication no" in settings
    assert "kbdinteractiveauthentication no" in settings
    assert "permitrootlogin without-password" in settings


def test_only_security_updates_are_automatic(host: Host) -> None:
    settings = host.check_output("apt-config dump")
    origins = [line for line in settings.splitlines() if line.startswith("Unattended-Upgrade::Origins-Pattern:: ")]
    assert len(origins) == 1
    assert "Debian-Security" in origins[0]
    assert 'Unattended-Upgrade::Package-Blacklist:: "mariadb-server";' in settings
    assert 'APT::Periodic::Unattended-Upgrade "1";' in settings
    assert 'Unattended-Upgrade::Mail "admin@example.org";' in settings
    assert host.service("apt-daily-upgrade.timer").is_running


def test_network_settings_are_live_and_persistent(host: Host) -> None:
    assert host.check_output("cat /proc/sys/net/ipv4/tcp_keepalive_time") == "600"
    assert "net.ipv4.tcp_keepalive_time = 600" in host.file("/etc/sysctl.d/60-encaja.conf").content_string


def test_no_interface_sends_or_believes_redirects(host: Host) -> None:
    names = "ipv4/conf/*/accept_redirects ipv4/conf/*/send_redirects ipv6/conf/*/accept_redirects"
    values = host.check_output(f"cd /proc/sys/net && cat {names}").split()
    assert len(values) >= 9
    assert set(values) == {"0"}


def test_an_interface_that_is_new_gets_the_same(host: Host) -> None:
    host.check_output("ip link add late type veth peer name later")
    host.check_output("/usr/lib/systemd/systemd-sysctl --prefix=/net/ipv4/conf/late")
    try:
        assert host.check_output("cat /proc/sys/net/ipv4/conf/late/accept_redirects") == "0"
    finally:
        host.check_output("ip link del late")


def test_a_container_does_not_change_settings_of_its_host(host: Host) -> None:
    assert "vm." not in host.file("/etc/sysctl.d/60-encaja.conf").content_string


def test_names_resolve_without_dns(host: Host) -> None:
    assert host.check_output("getent hosts database").split()[0] == "192.0.2.7"
    assert "localhost" in host.file("/etc/hosts").content_string


def test_services_and_sessions_may_open_many_files(host: Host) -> None:
    assert host.check_output("systemctl show --property DefaultLimitNOFILE --value") == "524288"
    limits = host.check_output("cat /etc/security/limits.d/*.conf")
    assert re.search(r"^root +hard +nofile +65535$", limits, re.MULTILINE)


def test_journal_is_persistent_and_limited(host: Host) -> None:
    assert host.file("/var/log/journal").is_directory
    assert "SystemMaxUse=1G" in host.check_output("systemd-analyze cat-config systemd/journald.conf")


def test_no_unit_failed(host: Host) -> None:
    assert host.check_output("systemctl list-units --failed --no-legend --plain") == ""
