# Monitor GPU memory
nvidia-smi  # NVIDIA
rocm-smi    # AMD

# Start with fewer layers if OOM occurs
mullama run llama3.2:1b "Hello!" --gpu-layers 20
