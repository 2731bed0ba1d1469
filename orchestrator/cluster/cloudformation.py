"""Stacks of AWS CloudFormation: find, create, update and delete one, and report why that failed.

A tag marks the stacks that are created here; no other stack is changed or deleted. It knows nothing
of what is in a stack.
"""

from dataclasses import dataclass
from typing import Any

from search_spaces.errors import BadInput

TAG = "robustness-sweep:cluster"
EVERY_5_S_FOR_30_MIN = {"Delay": 5, "MaxAttempts": 360}


@dataclass(frozen=True)
class Stack:
    name: str
    id: str
    status: str


@dataclass(frozen=True)
class Resource:
    type: str
    id: str  # the logical one where it has no other

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


def find(cloud: Any, name: str) -> Stack | None:
    """The stack of that name. Raises BadInput where it was not created here."""
    from botocore.exceptions import ClientError

    try:
        (found,) = cloud.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):  # no error code says it
            return None
        raise
    tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}
    if tags.get(TAG) != found["StackName"]:
        raise BadInput(
            f"stack {found['StackName']} exists, and `prepare` did not make it (it lacks the tag "
            f"{TAG}): it is left as it is; give the cluster another cluster_name"
        )
    return Stack(found["StackName"], found["StackId"], found["StackStatus"])


def outputs(cloud: Any, name: str) -> dict[str, str]:
    """The outputs of a stack that is complete, by name."""
    (found,) = cloud.describe_stacks(StackName=name)["Stacks"]
    return {each["OutputKey"]: each["OutputValue"] for each in found["Outputs"]}


def create(cloud: Any, name: str, template: str, parameters: dict[str, str]) -> None:
    """If a stack fails, the resources it has created are deleted again."""
    stack_id = cloud.create_stack(
        StackName=name,
        **_content(template, parameters),
        Tags=[{"Key": TAG, "Value": name}],
        OnFailure="DELETE",
    )["StackId"]
    _wait(cloud, stack_id, "CREATE", f"stack {name} was not created")


def update(cloud: Any, stack: Stack, template: str, parameters: dict[str, str]) -> bool:
    """Whether there was something to update."""
    from botocore.exceptions import ClientError

    _check_can_be_updated(stack)
    try:
        cloud.update_stack(StackName=stack.id, **_content(template, parameters))
    except ClientError as error:
        if "No updates are to be performed" in str(error):
            return False
        raise
    _wait(cloud, stack.id, "UPDATE", f"stack {stack.name} was not updated")
    return True


def delete(cloud: Any, stack: Stack) -> None:
    cloud.delete_stack(StackName=stack.id)
    _wait(cloud, stack.id, "DELETE", f"stack {stack.name} was not deleted")


def resources(cloud: Any, stack: Stack) -> list[Resource]:
    """The stack's existing resources that have an id of their own."""
    pages = cloud.get_paginator("list_stack_resources").paginate(StackName=stack.id)
    return [
        Resource(each["ResourceType"], each["PhysicalResourceId"])
        for page in pages
        for each in page["StackResourceSummaries"]
        if each.get("PhysicalResourceId") and each["ResourceStatus"] != "DELETE_COMPLETE"
    ]


def _check_can_be_updated(stack: Stack) -> None:
    if stack.status.endswith("_IN_PROGRESS"):
        raise BadInput(
            f"stack {stack.name} is being changed ({stack.status}): run this again in some minutes"
        )
    if stack.status.endswith("_FAILED") or stack.status == "ROLLBACK_COMPLETE":
        raise BadInput(
            f"stack {stack.name} cannot be updated ({stack.status}): run `python -m "
            "orchestrator.cluster release` on the file, then `prepare` again"
        )


def _content(template: str, parameters: dict[str, str]) -> dict[str, Any]:
    return {
        "TemplateBody": template,
        "Parameters": [
            {"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()
        ],
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
    }


def _wait(cloud: Any, stack_id: str, operation: str, failed: str) -> None:
    """Wait for the end of CREATE, UPDATE or DELETE. Raises BadInput with why it failed."""
    from botocore.exceptions import WaiterError

    waiter = cloud.get_waiter(f"stack_{operation.lower()}_complete")
    try:
        waiter.wait(StackName=stack_id, WaiterConfig=EVERY_5_S_FOR_30_MIN)
    except WaiterError:
        reason = _first_failure(cloud, stack_id, operation)
        if reason is None:
            raise BadInput(
                f"the stack is not there after 30 minutes, and nothing has failed "
                f"({operation} goes on at AWS): run this again later"
            ) from None
        raise BadInput(f"{failed}: {reason}") from None


def _first_failure(cloud: Any, stack_id: str, operation: str) -> str | None:
    """What failed first in the latest operation; what follows are consequences."""
    first = None
    for page in cloud.get_paginator("describe_stack_events").paginate(StackName=stack_id):
        for event in page["StackEvents"]:  # the newest first
            status, physical_id = event["ResourceStatus"], event.get("PhysicalResourceId")
            if status.endswith("_FAILED") and "ResourceStatusReason" in event:
                resource = Resource(
                    event["ResourceType"], physical_id or event["LogicalResourceId"]
                )
                first = f"{resource}: {' '.join(event['ResourceStatusReason'].split())}"
            if physical_id == stack_id and status == f"{operation}_IN_PROGRESS":
                return first
    return first
