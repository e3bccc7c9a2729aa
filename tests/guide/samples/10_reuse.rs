let mut context = Context::new(model, ContextParams::default())?;

for prompt in &prompts {
    context.clear()?;  // Reset without reallocating
    let response = context.generate(prompt, 200)?;
    println!("{}", response);
}
