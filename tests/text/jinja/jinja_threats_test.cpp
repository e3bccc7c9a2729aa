#include <gtest/gtest.h>

#include "text/jinja/rendering.hpp"

namespace mullama::jinja::testing {
namespace {

/// A chat template from a model file ran code through the attributes of Python objects. Here values have no
/// attributes but a table of methods, so every step of such a path ends in nothing or in an error.
TEST(Threats, CVE_2024_34359_TemplateCannotRunCode) {
  const auto parsed = Template::parse(
      "{% for x in ().__class__.__base__.__subclasses__() %}{% if \"warning\" in x.__name__ %}"
      "{{ x()._module.__builtins__['__import__']('os').popen('id') }}{% endif %}{% endfor %}");
  ASSERT_TRUE(parsed);
  const auto text = parsed->render(Json::object());
  ASSERT_FALSE(text);
  EXPECT_NE(text.error().message.find("SecurityError"), std::string::npos) << text.error().message;
}

TEST(Threats, CVE_2024_34359_NoInternalsByAnyPath) {
  const Json variables = {
      {"messages", {{{"role", "user"}, {"content", "x"}}}}, {"s", "text"}, {"n", 1}, {"f", 1.5}};
  for (const std::string object : {"s",
                                   "n",
                                   "f",
                                   "messages",
                                   "messages[0]",
                                   "none",
                                   "true",
                                   "missing",
                                   "range",
                                   "namespace",
                                   "dict",
                                   "cycler",
                                   "joiner",
                                   "raise_exception",
                                   "strftime_now",
                                   "namespace(a=1)",
                                   "range(3)",
                                   "cycler(1)",
                                   "joiner()",
                                   "messages[0].items()",
                                   "messages|map('string')",
                                   "s.upper",
                                   "(1,)",
                                   "m",
                                   "s|safe"}) {
    for (const std::string name : {"__class__",   "__base__",     "__mro__",          "__subclasses__",
                                   "__globals__", "__builtins__", "__import__",       "__init__",
                                   "__dict__",    "__code__",     "__self__",         "__func__",
                                   "_module",     "_func",        "_environment",     "gi_frame",
                                   "gi_code",     "mro",          "func_globals",     "__getattribute__",
                                   "__reduce__",  "__iterator",   "_Namespace__attrs"}) {
      const std::string macro = "{% macro m() %}{% endmacro %}";
      // Whatever is found is undefined: it prints nothing and cannot be used.
      for (const auto& path :
           {object + "." + name, object + "['" + name + "']", object + "|attr('" + name + "')",
            "([" + object + "]|map(attribute='" + name + "')|list)[0]"}) {
        const auto printed = rendered(macro + "[{{ (" + path + ") is defined }}]", variables);
        EXPECT_TRUE(printed == "[False]" || printed.starts_with("error: ")) << path << " gave " << printed;
        const auto called = rendered(macro + "{{ (" + path + ")() }}", variables);
        EXPECT_TRUE(called.starts_with("error: ")) << path << "() gave " << called;
      }
      const auto formatted = rendered(macro + "{{ '{0." + name + ".x}'.format(" + object + ") }}", variables);
      EXPECT_TRUE(formatted.starts_with("error: ")) << object << "." << name << " gave " << formatted;
    }
  }
}

TEST(Threats, CVE_2024_34359_NothingReachesFilesOrProcesses) {
  for (const auto* source :
       {"{{ open('/etc/passwd').read() }}", "{{ eval('1') }}", "{{ exec('1') }}", "{{ import_module('os') }}",
        "{{ lipsum.__globals__['os'].popen('id').read() }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}", "{{ self._TemplateReference__context }}",
        "{{ joiner.__init__.__globals__ }}", "{{ request.application }}", "{{ config.items() }}",
        "{{ get_flashed_messages.__globals__ }}", "{{ environ.HOME }}", "{{ os.environ }}",
        "{{ namespace.__init__.__globals__ }}", "{{ loop.__init__.__globals__ }}", "{{ ''|open }}",
        "{{ 'id'|system }}", "{{ url_for.__globals__ }}"}) {
    const auto text = rendered(source);
    EXPECT_TRUE(text.starts_with("error: ")) << source << " gave " << text;
  }
}

TEST(Threats, CVE_2024_34359_FormatsCannotWriteMemory) {
  for (const auto* source : {"{{ '%n' % 1 }}", "{{ '{:n}'.format(1.5) }}", "{{ '%n%n%n' % (1, 2, 3) }}",
                             "{{ '{:n}'.format(7) }}", "{{ '%hhn' % 1 }}"}) {
    const auto text = rendered(source);
    EXPECT_TRUE(text.starts_with("error: ") || text == "1.5" || text == "7") << source << " gave " << text;
  }
  EXPECT_EQ(rendered("{{ strftime_now('%999999d|%Ez|%Oy|%') }}"), "%999999d|%Ez|%Oy|%");
}

TEST(Threats, CVE_2024_34359_VariablesStayTheCallers) {
  Json variables = {{"messages", Json::array({1})}};
  const auto before = variables;
  auto options = golden_options();
  options.mutable_values = true;
  EXPECT_EQ(rendered("{% set _ = messages.append(2) %}{{ messages }}", variables, options), "[1, 2]");
  EXPECT_EQ(variables, before);
  EXPECT_NE(rendered("{{ messages.append(2) }}", variables).find("SecurityError"), std::string::npos);
}

}  // namespace
}  // namespace mullama::jinja::testing
