# F16 (default)
mullama run llama3.2:1b "Hello!" --kv-cache-type f16

# Q8_0
mullama run llama3.2:1b "Hello!" --kv-cache-type q8_0

# Q4_0
mullama run llama3.2:1b "Hello!" --kv-cache-type q4_0
