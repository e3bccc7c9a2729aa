mullama run llama3.2:1b "Hello!" --ctx-size 512 --kv-cache-type q4_0
