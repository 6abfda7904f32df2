# SPDX-License-Identifier: BSD-3-Clause
"""bess_control.py SOCKET MESSAGES FILE: calls to a BESS daemon, in the place of bessctl, which Python 3.10 and later do
not run (it imports the module parser, which is gone).

SOCKET is the daemon's unix socket, MESSAGES the folder with its generated gRPC messages (PREFIX/pybess/builtin_pb).
Each line of FILE is a call and its request, as protobuf writes messages in JSON. Prints the answers as a JSON list. The
first call that fails ends it with status 1 and one line. bess.py writes it into the run's folder, and runs it there.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any

SERVICE = "BESSControl"
TIMEOUT_S = 20.0


def main(argv: Sequence[str]) -> str:
    socket, messages, file = argv
    with open(file, encoding="utf-8") as lines:
        calls = [line.rstrip().split(maxsplit=1) for line in lines]
    sys.path.insert(0, messages)        # generated code imports its like by bare names
    import grpc
    import module_msg_pb2               # these two for what stands in requests as google.protobuf.Any
    import service_pb2
    from ports import port_msg_pb2
    del module_msg_pb2, port_msg_pb2
    methods = service_pb2.DESCRIPTOR.services_by_name[SERVICE].methods_by_name
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(f"unix:{socket}", options) as channel:
        answers = [call(channel, methods, name, request) for name, request in calls]
    return json.dumps(answers)


def call(channel: Any, methods: Any, name: str, request: str) -> dict[str, Any]:
    """The answer to one call; SystemExit if it fails."""
    import grpc
    from google.protobuf import json_format, message_factory
    if name not in methods:
        raise SystemExit(f"{name}: this BESS has no such call")
    method = methods[name]
    factory = message_factory.MessageFactory()
    asked, answered = (factory.GetPrototype(kind) for kind in (method.input_type, method.output_type))
    try:
        ask = channel.unary_unary(f"/{method.containing_service.full_name}/{name}", asked.SerializeToString,
                                  answered.FromString)
        answer = ask(json_format.Parse(request, asked()), timeout=TIMEOUT_S, wait_for_ready=True)
    except (grpc.RpcError, json_format.ParseError) as error:
        why = error.details() if isinstance(error, grpc.RpcError) else str(error)
        raise SystemExit(f"{name}: {' '.join(why.split())}") from None
    if answer.error.code:
        raise SystemExit(f"{name}: {answer.error.errmsg or 'it gave no reason'} (errno {answer.error.code})")
    return dict(json_format.MessageToDict(answer, including_default_value_fields=True,
                                          preserving_proto_field_name=True))


if __name__ == "__main__":
    print(main(sys.argv[1:]))
