# Show memory usage
mullama daemon status

# Verbose output includes memory stats
mullama run llama3.2:1b "Hello!" --verbose
