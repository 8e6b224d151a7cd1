"""What the end-to-end tests run, each once for many tests: the loop, and a process that loads a model."""

import sys

DEMO = [sys.executable, "-m", "infra.local.demo", "--short", "--exit"]
CANARIES = {
    "AWS_SECRET_ACCESS_KEY": "canary-cloud-key-000000",
    "CANARY_PASSWORD": "canary-password-000000",
    "DATABASE_URL": "postgresql://flywheel:canary-in-url-000000@database/flywheel",
}
LOADS_A_MODEL = """
import sys
if sys.argv[1:] == ["configured"]:
    import infra
import onnxruntime
from onnx import TensorProto, helper
x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "identity", [x], [y])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
print("loaded", flush=True)
sys.stdin.read()
"""
