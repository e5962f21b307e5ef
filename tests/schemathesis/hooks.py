"""What schemathesis cannot know of a KDC."""

import base64
import json
import os

import schemathesis

ZONE = os.environ["KEYCELL_TEST_ZONE"]
CLAIMS = os.environ["KEYCELL_TEST_TOKEN"].split(".")[1]
OWN = json.loads(base64.urlsafe_b64decode(CLAIMS + "=" * (-len(CLAIMS) % 4)))["jti"]
ENOUGH = 1_000_000


def whole(value):
    """The same, with integers written as such."""
    if isinstance(value, dict):
        return {name: whole(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@schemathesis.serializer("application/x-ndjson", "text/csv")
def lines(context, value):
    """Bodies that are text go out as they are."""
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def before_load_schema(context, schema):
    """Says where names and ids come from, so that what is made is also looked at, changed and deleted."""
    for name in ("Name", "AnyName"):
        # The same names, but for those of zones so long that their length must be looked at: too few texts keep to that.
        pattern = schema["components"]["schemas"][name]["pattern"]
        short = pattern.replace("(?=.{1,63}$)", "").replace("[a-z0-9-]*", "[a-z0-9-]{0,9}").replace(")?)*", ")?){0,3}")
        schema["components"]["schemas"][name]["pattern"] = short
    for maker, status, found, parameter, users in [
        ("/v1/admin/parties", "201", "/party/name", "name", ["showParty", "updateParty", "listKeys", "replaceKey", "deleteParty"]),
        ("/v1/admin/groups", "201", "/name", "name", ["showGroup", "updateGroup", "rotateGroup", "listMembers", "excludeMember", "includeMember", "deleteGroup"]),
        ("/v1/admin/policy/rules", "201", "/id", "id", ["showRule", "updateRule", "deleteRule"]),
        ("/v1/admin/tokens", "201", "/info/id", "id", ["showToken", "revokeToken"]),
        ("/v1/admin/enrollments/{fingerprint}/deny", "200", "/fingerprint", "fingerprint", ["showEnrollmentOf", "approveEnrollment", "forgetEnrollment"]),
        ("/v1/admin/join-tokens", "201", "/info/id", "id", ["showJoinToken", "revokeJoinToken"]),
    ]:
        answer = schema["paths"][maker]["post"]["responses"][status]
        answer["links"] = {
            user: {"operationId": user, "parameters": {parameter: f"$response.body#{found}"}} for user in users
        }


@schemathesis.hook
def before_call(context, case, kwargs):
    """Keeps what is asked within this zone, and the KDC open for the next question."""
    if case.meta.generation.mode.is_positive:
        # To a schema 7.0 is an integer; to the KDC, as to most who write JSON, it is not.
        case.body = whole(case.body)
        tag = case.headers.get("If-Match")
        if tag and not tag.endswith(('"', "*")):
            # Drawn without a look at its pattern.
            case.headers["If-Match"] = '"0"'
    operation = case.operation.definition.raw.get("operationId")
    body = case.body
    if operation == "revokeToken" and case.path_parameters.get("id") == OWN:
        case.path_parameters["id"] = "0" * 24
    if operation == "createGroup" and isinstance(body, dict) and isinstance(body.get("name"), str):
        # Few of the names that are drawn have no dot.
        local, at, _ = body["name"].partition("@")
        if at:
            body["name"] = f"{local.replace('.', '-').replace('#', '0')}@{ZONE}"
        members = body.get("members")
        if case.meta.generation.mode.is_positive and isinstance(members, list):
            # Those of other zones are refused.
            body["members"] = [member.partition("@")[0] or "*" for member in members if isinstance(member, str)]
    if operation == "createParty" and isinstance(body, dict) and isinstance(body.get("name"), str):
        local, at, _ = body["name"].partition("@")
        if at:
            body["name"] = f"{local}@{ZONE}"
    if operation == "updateLimits" and isinstance(body, dict):
        # A rate of 1 a second is a good one, and would end the test.
        for name in ("per_address", "failures_per_address", "enrollments_per_address"):
            rate = body.get(name)
            for field in rate if isinstance(rate, dict) else ():
                if type(rate[field]) is int and 0 < rate[field] < ENOUGH:
                    rate[field] += ENOUGH
