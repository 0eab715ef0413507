"""Run by tests in a process of its own: a Ray cluster of a head and two nodes on 127.0.0.1, until its input closes."""

from __future__ import annotations

import json
import sys

from ray.cluster_utils import Cluster

NODE = {"node_ip_address": "127.0.0.1", "include_dashboard": False, "object_store_memory": 80 * 2**20}
IMPATIENT = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}

if __name__ == "__main__":
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0, "_system_config": IMPATIENT})
    nodes = [cluster.add_node(num_cpus=1, **NODE) for _ in range(2)]
    print(json.dumps({"address": cluster.address}), flush=True)
    sys.stdin.read()
    cluster.shutdown()
