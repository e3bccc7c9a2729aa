# CLI manages memory automatically
mullama run llama3.2:1b "Hello!"
# All resources freed after command completes
