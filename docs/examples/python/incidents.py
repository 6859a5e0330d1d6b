"""Open incidents of a fleet, and then what happens, as it happens.

Usage: incidents.py HOST:PORT CA_PEM TOKEN [EVENTS]

TOKEN is a bearer token of an operator (`prunella token operator NAME --role viewer`). With EVENTS it ends after so many.
"""

import sys

import grpc
from prunella.control.v1 import event_pb2, event_pb2_grpc, incident_pb2, incident_pb2_grpc


def connect(address: str, ca_file: str, token: str) -> grpc.Channel:
    """A channel that trusts the fleet's authority alone and brings the token with every call."""
    with open(ca_file, "rb") as file:
        tls = grpc.ssl_channel_credentials(file.read())
    return grpc.secure_channel(
        address, grpc.composite_channel_credentials(tls, grpc.access_token_call_credentials(token))
    )


def main() -> None:
    address, ca_file, token = sys.argv[1:4]
    most = int(sys.argv[4]) if len(sys.argv) > 4 else None
    with connect(address, ca_file, token) as channel:
        incidents = incident_pb2_grpc.IncidentServiceStub(channel)
        events = event_pb2_grpc.EventServiceStub(channel)
        # The token of the latest event first: nothing that happens from here on is missed.
        latest = events.ListEvents(event_pb2.ListEventsRequest(page_size=1))
        for it in incidents.ListIncidents(incident_pb2.ListIncidentsRequest(open_only=True)).incidents:
            print("open", it.name, it.fault.summary, flush=True)
        print("following", flush=True)
        request = event_pb2.WatchEventsRequest()
        if latest.HasField("resume_token"):
            request.resume_token = latest.resume_token
        for number, told in enumerate(events.WatchEvents(request), start=1):
            if told.gap:
                print("gap", told.gap_reason, flush=True)
            else:
                print(told.event.kind, told.event.target, told.event.message, flush=True)
            if number == most:
                return


if __name__ == "__main__":
    try:
        main()
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")
