"""Policies for where Rewirl is not: as C, as ONNX."""
