"""The command line: exit statuses, what is printed where, and that flags reach the configuration.

usage: VALET_BIN=... python3 test_cli.py
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

BIN = os.environ["VALET_BIN"]


def valet(*args, cwd, **env):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("VALET_") and k != "XDG_CONFIG_HOME"}
    return subprocess.run(
        [BIN, *args], capture_output=True, text=True, cwd=cwd, timeout=60, env={**clean, "HOME": cwd, **env}
    )


class Cli(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def run_valet(self, *args, **env):
        return valet(*args, cwd=self.folder, **env)

    def write(self, text, name="valet.yaml"):
        path = Path(self.folder, name)
        path.write_text(text)
        return str(path)

    def assert_fails(self, run, code, *words):
        self.assertEqual((run.returncode, run.stdout), (code, ""), run.stderr)
        self.assertEqual(len(run.stderr.splitlines()), 1, run.stderr)
        for word in words:
            self.assertIn(word, run.stderr)

    def shown(self, *args, **env):
        run = self.run_valet("config", "show", "--json", *args, **env)
        self.assertEqual(run.returncode, 0, run.stderr)
        return json.loads(run.stdout)["values"]

    def test_wrong_flag_ends_with_2(self):
        for args, word in [
            (["--port", "70000"], "--port: 70000 is not in 0..65535"),
            (["--port=x"], "--port: expected a whole number"),
            (["--port"], "--port needs a value"),
            (["--no-prefix-cache=1"], "--no-prefix-cache takes no value"),
            (["--set", "server.port"], "is no KEY=VALUE"),
            (["--set", "server.prot=1"], "did you mean 'port'?"),
            (["--set", "server.port=-1"], "--set: server.port: -1 is not in"),
            (["--max-num-seq", "1"], "did you mean --max-num-seqs?"),
            (["--drain-ms", "3600001"], "--drain-ms: 3600001 is not in 0..3600000"),
            (["-p", "1"], "-p: unknown option"),
            (["a", "b"], "'b' is one argument too many"),
            ([], "an argument is missing"),
        ]:
            with self.subTest(args):
                self.assert_fails(self.run_valet("serve", *args), 2, word, "--help shows the usage")

    def test_flags_are_not_abbreviated(self):
        self.assert_fails(self.run_valet("serve", "m", "--max-queue", "1"), 2, "--max-queue: unknown option")
        self.assert_fails(self.run_valet("serve", "m", "--chec"), 2, "--chec: unknown option")
        self.assert_fails(self.run_valet("config", "show", "--jsonx"), 2, "--jsonx: unknown option")

    def test_old_flag_suggests(self):
        for flag, hint in [
            ("--p", "use --port"),
            ("--h", "use --host"),
            ("--m", "MODEL"),
            ("--w", "MODEL"),
            ("--f", "MODEL"),
            ("--mem", "use --kv-mem"),
            ("--queue-size", "use --max-queue-depth"),
            ("--isq", "quantise"),
            ("--cpu", "no longer needed"),
            ("--d", "no longer needed"),
            ("--multithread", "no longer needed"),
            ("--dtype", "no longer needed"),
            ("--holding-time", "no longer needed"),
        ]:
            with self.subTest(flag):
                self.assert_fails(self.run_valet("serve", flag, "x"), 2, f"{flag}: unknown option; ", hint)

    def test_wrong_file_or_variable_ends_with_1(self):
        self.assert_fails(self.run_valet("serve", "m", "--config", "none.yaml"), 1, "none.yaml")
        self.assert_fails(self.run_valet("serve", "m", VALET_PORT="x"), 1, "VALET_PORT: server.port:")
        self.write("server:\n  prot: 5\n")
        self.assert_fails(self.run_valet("serve", "m"), 1, "valet.yaml:2:3: unknown key 'prot' in server")
        self.assert_fails(self.run_valet("config", "check"), 1, "valet.yaml:2:3: ")

    def test_check_says_all_and_ok(self):
        bad = self.write("a: 1\nb: 2\nc: 3\n", "bad.yaml")
        run = self.run_valet("config", "check", bad)
        self.assertEqual((run.returncode, len(run.stderr.splitlines())), (1, 3))
        many = self.write("".join(f"key_{i}: 1\n" for i in range(30)), "many.yaml")
        self.assertIn("and 10 more", self.run_valet("config", "check", many).stderr)
        good = self.write("server: { port: 1 }\n", "good.yaml")
        run = self.run_valet("config", "check", good)
        self.assertEqual((run.returncode, run.stdout, run.stderr), (0, "ok, 1 keys set\n", ""))
        model = self.write("models: [{ path: none.gguf }]\n", "model.yaml")
        self.assert_fails(self.run_valet("config", "check", model), 1, "none.gguf: no such file")
        self.assert_fails(self.run_valet("serve", "none.gguf", "--check"), 1, "none.gguf: no such file")
        self.write("x", "some.gguf")
        self.assertEqual(self.run_valet("serve", "some.gguf", "--check").stdout, "ok\n")

    def test_every_flag_reaches_its_key(self):
        """Each flag that --help of serve names, with a value of its kind."""
        values = {"ADDRESS": "127.0.0.9", "N": "17", "MS": "77", "SECS": "19", "SIZE": "3MiB",
                  "FILE": "some-file", "LEVEL": "warn", "FORMAT": "json"}  # fmt: skip
        before = self.shown()
        help_text = self.run_valet("serve", "--help").stdout
        flags = re.findall(r"^  --([a-z-]+)(?: ([A-Z=]+))? ", help_text, re.M)
        self.assertGreater(len(flags), 15)
        for flag, value in flags:
            if flag in ("check", "config", "set", "help"):
                continue
            with self.subTest(flag):
                args = [f"--{flag}"] + ([values[value]] if value else [])
                after = self.shown(*args)
                changed = [k for k in after if after[k]["value"] != before[k]["value"]]
                self.assertEqual(len(changed), 1)
                self.assertEqual(after[changed[0]]["origin"], f"--{flag}")

    def test_precedence_on_the_command_line(self):
        self.write("server: { port: 1 }\n")
        self.assertEqual(self.shown()["server.port"], {"value": 1, "origin": "valet.yaml:1"})
        self.assertEqual(self.shown(VALET_PORT="2")["server.port"], {"value": 2, "origin": "VALET_PORT"})
        port = self.shown("--port=3", VALET_PORT="2")["server.port"]
        self.assertEqual(port, {"value": 3, "origin": "--port"})
        port = self.shown("--port", "3", "--set", "server.port=4")["server.port"]
        self.assertEqual(port, {"value": 4, "origin": "--set"})

    def test_show_what_show_printed(self):
        self.write("pool: { classes: { low: { budget_ms: 7 } } }\nserver: { allowed_hosts: [a$$b] }\n")
        first = self.run_valet("config", "show")
        again = self.write(first.stdout, "again.yaml")
        values = json.loads(self.run_valet("config", "show", "--json", "--config", again).stdout)["values"]
        self.assertEqual({k: v["value"] for k, v in values.items()}, {k: v["value"] for k, v in self.shown().items()})
        self.assert_fails(self.run_valet("config", "show", "server.prot"), 1, "no key 'server.prot'")
        self.assertEqual(self.run_valet("config", "show", "server.port").stdout, "server:\n  port: 2000  # default\n")

    def test_secret_is_not_shown(self):
        run = self.run_valet("config", "show", VALET_API_KEY="secret-of-many-letters")
        self.assertIn("***", run.stdout)
        self.assertNotIn("secret-of", run.stdout)

    def test_warnings_do_not_stop(self):
        run = self.run_valet("config", "check", VALET_PROT="1", VALET_PORT="tcp://10.0.0.1:80")
        self.assertEqual((run.returncode, run.stdout), (0, "ok, 0 keys set\n"))
        self.assertIn("VALET_PROT: unknown, ignored; did you mean VALET_PORT?", run.stderr)
        self.assertIn("looks like a Kubernetes service", run.stderr)

    def test_keys_new_makes_a_line_that_lets_in(self):
        run = self.run_valet("keys", "new", "--tenant", "bob", "--scopes", "infer,admin")
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        key, line = run.stdout.splitlines()
        self.assertRegex(key, r"^sk-valet-[a-z2-7]{26}$")
        self.assertEqual(line, f"sha256:{hashlib.sha256(key.encode()).hexdigest()} bob scopes=infer,admin")
        self.assertNotEqual(key, self.run_valet("keys", "new").stdout.splitlines()[0])
        path = self.write(line + "\n", "keys")
        os.chmod(path, 0o600)
        self.assertEqual(self.run_valet("config", "check", "--api-keys-file", path).returncode, 0)
        os.chmod(path, 0o644)
        self.assert_fails(self.run_valet("config", "check", "--api-keys-file", path), 1, "too open for keys")
        self.assert_fails(self.run_valet("keys", "new", "--tenant", "a b"), 2, "--tenant")
        self.assert_fails(self.run_valet("keys", "new", "--scopes", "root"), 2, "--scopes")
        self.assert_fails(self.run_valet("keys", "old"), 2, "new")

    def commands(self):
        return re.findall(r"^  ([a-z]+) ", self.run_valet("--help").stdout, re.M)

    def test_completion_knows_every_command_and_flag(self):
        script = self.run_valet("completion", "bash").stdout
        path = self.write(script, "completion")
        for command in self.commands():
            flags = re.findall(r"^  (--[a-z-]+)", self.run_valet(command, "--help").stdout, re.M)
            probe = f'. {path}; COMP_WORDS=(valet {command} --); COMP_CWORD=2; _valet; echo "${{COMPREPLY[@]}}"'
            run = subprocess.run(["bash", "-c", probe], capture_output=True, text=True)
            self.assertEqual((run.stderr, run.stdout.split()), ("", flags), command)
        probe = f'. {path}; COMP_WORDS=(valet ser); COMP_CWORD=1; _valet; echo "${{COMPREPLY[@]}}"'
        self.assertEqual(subprocess.run(["bash", "-c", probe], capture_output=True, text=True).stdout, "serve\n")
        self.assert_fails(self.run_valet("completion", "tcsh"), 2, "tcsh")

    def test_manual_knows_every_command_and_flag(self):
        page = self.run_valet("man").stdout
        self.assertTrue(page.startswith(".TH VALET 1 "))
        for command in self.commands():
            self.assertIn(f".SS valet {command}", page)
            for flag in re.findall(r"^  --([a-z-]+)", self.run_valet(command, "--help").stdout, re.M):
                self.assertIn(".B \\-\\-" + flag.replace("-", "\\-"), page)

    def test_log_lines_as_json(self):
        run = self.run_valet("serve", "none.gguf", "--log-format", "json", VALET_PROT="1")
        self.assertEqual(run.returncode, 1)
        lines = [json.loads(line) for line in run.stderr.splitlines() if line.startswith("{")]
        self.assertEqual([line["event"] for line in lines[:2]], ["config.warning", "config.loaded"])
        self.assertEqual(lines[0]["level"], "warn")
        self.assertIn("did you mean VALET_PORT?", lines[0]["text"])
        quiet = self.run_valet("serve", "none.gguf", "--log-level", "error")
        self.assertNotIn("config.loaded", quiet.stderr)


if __name__ == "__main__":
    unittest.main()
