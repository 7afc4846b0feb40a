"""Reads the objects that Helm makes on standard input, checks each against its schema, unknown fields included, and writes
them as a list in JSON. Kubernetes: the oldest and the newest version that the chart is for."""

import json
import sys

import kubernetes_validate
import yaml

OLDEST, NEWEST = "1.25", "1.37"


def lost(written, understood, path):
    """The fields of what is written that the operator's model does not know."""
    if isinstance(written, dict):
        for key, value in written.items():
            if not isinstance(understood, dict) or key not in understood:
                yield f"{path}.{key}"
            else:
                yield from lost(value, understood[key], f"{path}.{key}")
    elif isinstance(written, list):
        for index, value in enumerate(written):
            yield from lost(value, understood[index], f"{path}[{index}]")


def check(written):
    kind, version = written["kind"], written["apiVersion"]
    if not version.startswith("monitoring.coreos.com/"):
        for kubernetes in (OLDEST, NEWEST):
            kubernetes_validate.validate(written, kubernetes, strict=True)
        return
    # Takes some seconds: only where it is needed.
    from cloudcoil.models import prometheus_operator

    models = getattr(prometheus_operator, version.split("/")[1])
    model = getattr(models, kind).model_validate(written)
    understood = json.loads(model.model_dump_json(by_alias=True, exclude_unset=True))
    unknown = list(lost(written, understood, kind))
    if unknown:
        raise ValueError(f"unknown fields: {unknown}")


objects = [written for written in yaml.safe_load_all(sys.stdin) if written]
for written in objects:
    try:
        check(written)
    except Exception as error:
        sys.exit(f"{written.get('kind')} {written.get('metadata', {}).get('name')}: {error}")
json.dump(objects, sys.stdout)
