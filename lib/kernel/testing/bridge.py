"""The kernel's tests speak through this: jupyter_client on one side, JSON lines on the other.

Starts the kernel that the given kernel.json describes. Each line on stdin is a command
{"op": ..., ...}; each message from the kernel becomes a line on stdout
{"channel": ..., "type": ..., "parent": ..., "content": ..., ...}.
"""

import base64
import json
import subprocess
import sys
import threading
from queue import Empty

from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.restarter import KernelRestarter

lock = threading.Lock()


def say(line):
    with lock:
        sys.stdout.write(json.dumps(line, default=str) + "\n")
        sys.stdout.flush()


def listen(client, channel):
    while True:
        try:
            message = getattr(client, f"get_{channel}_msg")(timeout=1)
        except Empty:
            continue
        except Exception:
            return
        say(
            {
                "channel": channel,
                "type": message["msg_type"],
                "parent": message["parent_header"].get("msg_id"),
                "content": message["content"],
                "metadata": message["metadata"],
                "buffers": [base64.b64encode(bytes(b)).decode() for b in message.get("buffers", [])],
            }
        )


def handle(manager, client, restarter, command):
    op = command["op"]
    if op == "send":
        channel = getattr(client, f"{command['channel']}_channel")
        message = client.session.msg(command["type"], command["content"])
        message["header"]["msg_id"] = command["id"]
        client.session.send(channel.socket, message, buffers=[base64.b64decode(b) for b in command.get("buffers", [])])
    elif op == "raw":
        channel = getattr(client, f"{command['channel']}_channel")
        channel.socket.send_multipart([base64.b64decode(frame) for frame in command["frames"]])
    elif op == "input":
        client.input(command["value"])
    elif op == "interrupt":
        manager.interrupt_kernel()
    elif op == "alive":
        say({"channel": "bridge", "type": "alive", "content": {"alive": manager.is_alive(), "beating": client.hb_channel.is_beating()}})
    elif op == "poll":
        restarter.poll()


def main():
    spec_file, folder = sys.argv[1:3]
    with open(spec_file, encoding="utf-8") as file:
        fields = json.load(file)
    manager = KernelManager()
    manager._kernel_spec = KernelSpec(**fields)
    say({"channel": "bridge", "type": "starting", "content": {}})
    # Node makes an inherited pipe non-blocking, for us too; then our own long lines would be cut.
    manager.start_kernel(cwd=folder, stdout=subprocess.DEVNULL)
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    for channel in ("iopub", "shell", "control", "stdin"):
        threading.Thread(target=listen, args=(client, channel), daemon=True).start()
    with open(manager.connection_file, encoding="utf-8") as file:
        connection = json.load(file)

    def tell_pid(event):
        pid = manager.provisioner.process.pid
        say({"channel": "bridge", "type": event, "content": {"pid": pid, "key": connection["key"]}})

    # The Jupyter server's own watch, which notices that a kernel died, tells the front ends and starts it again.
    restarter = KernelRestarter(kernel_manager=manager, random_ports_until_alive=False)
    restarter.add_callback(lambda: tell_pid("died"), "restart")
    tell_pid("ready")
    for line in sys.stdin:
        pid = manager.provisioner.process.pid
        handle(manager, client, restarter, json.loads(line))
        if manager.provisioner.process.pid != pid:
            tell_pid("restarted")
    client.stop_channels()
    manager.shutdown_kernel(now=True)


main()
