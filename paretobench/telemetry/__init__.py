"""What the device and its host did meanwhile: NVML, psutil, and where a result comes from.

- `gpu.py`: one GPU's readings; `queries.py` survives what the driver refuses; `devices.py` finds
  the NVML device behind a CUDA one; `gpm.py` SM, tensor and DRAM activity; `throttle.py` names;
  `gpu_processes.py` who else is on it; `mps.py` whether processes share it
- `host.py`: CPU use, steal time and host facts
- `sampler.py`: the thread that samples both
- `provenance.py`: GPUs, host and package; `checkout.py` the package's git commit

Everything here works where there is no GPU and no driver: what cannot be read is None.
"""
