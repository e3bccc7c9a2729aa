mullama run llama3.2:1b "Hello!" --gpu-layers 20
