#include "tools/adaface/bench_line.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <vector>

#include "src/runtime.hpp"
#include "tools/adaface/options.h"
#include "tools/adaface/pictures.h"
#include "tools/command_line.h"

namespace adaface::cli {
namespace {

// Of the lines that build_info() has, the one of this key; null without it.
Json built(const std::string& key) {
  std::istringstream lines(build_info());
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(key + ": ")) return line.substr(key.size() + 2);
  return nullptr;
}

// As Linux tells it on x86.
Json cpu_name() {
  std::ifstream lines("/proc/cpuinfo");
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("model name"))
      if (const auto start = line.find(": "); start != std::string::npos) return line.substr(start + 2);
  return nullptr;
}

Json variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? Json(value) : Json();
}

// For people: a string without its quotes.
std::string shown_value(const Json& value) {
  return value.is_string() ? printable(value.get<std::string>()) : value.is_null() ? "none" : value.dump();
}

Json value_of(const Json& object, const std::string& key) {
  const auto found = object.find(key);
  return found == object.end() ? Json() : *found;
}

// Times of runs that differ in one of these say nothing about each other.
constexpr const char* kAlike[] = {"net",   "batch",  "precision", "plan",     "device", "threads",
                                  "width", "height", "mode",      "min_face", "faces",  "shape"};

}  // namespace

Json bench_context(const Device& device) {
  Json context = {{"version", version()},
                  {"kernels", built("kernels")},
                  {"onednn", built("onednn")},
                  {"onednn_isa", built("onednn isa")},
                  {"cpu", cpu_name()},
                  {"cpus", available_cpus()},
                  {"caps",
                   {{"ADAFACE_MAX_ISA", variable("ADAFACE_MAX_ISA")},
                    {"ONEDNN_MAX_CPU_ISA", variable("ONEDNN_MAX_CPU_ISA")}}}};
  if (device.kind != DeviceKind::cpu) context["cuda"] = built("cuda");
  return context;
}

std::string run_text(const Json& run) {
  const auto number = [&](const char* key) { return run.at(key).get<int>(); };
  const auto word = [&](const char* key) { return run.at(key).get<std::string>(); };
  std::string text;
  if (run.contains("net"))
    text = word("net") + ", batch " + std::to_string(number("batch")) + ", " + word("precision") + ", " +
           word("plan") + " plan";
  else
    text = "detect " + std::to_string(number("width")) + "x" + std::to_string(number("height")) + ", " +
           word("mode") + " mode, faces from " + shown(run.at("min_face").get<double>()) + " pixels";
  const std::string device = word("device");
  const auto count = [&](const char* key) { return static_cast<std::size_t>(number(key)); };
  return text + ", " + (device == "cpu" ? counted(count("threads"), "thread") : "on " + device) + ", " +
         counted(count("repetitions"), "repetition");
}

std::string context_text(const Json& context) {
  std::string text = "adaface " + shown_value(context.at("version")) + ", kernels " +
                     shown_value(context.at("kernels")) + ", oneDNN " + shown_value(context.at("onednn")) +
                     " " + shown_value(context.at("onednn_isa"));
  for (const auto& [name, value] : context.at("caps").items())
    if (!value.is_null()) text += ", " + name + "=" + shown_value(value);
  if (!context.at("cpu").is_null()) text += ", " + shown_value(context.at("cpu"));
  if (context.contains("cuda")) text += ", " + shown_value(context.at("cuda"));
  return text;
}

Against::Against(const std::string& path) : name_("--against " + printable(path)) {
  std::ifstream file(path);
  if (!file) refuse("cannot be read");
  for (std::string line; std::getline(file, line);) {
    if (line.empty()) continue;
    Json json = Json::parse(line, nullptr, false);
    if (!json.is_object() || !json.contains("bench")) refuse("is not what 'adaface bench --json' writes");
    lines_.push_back(std::move(json));
  }
  if (file.bad()) refuse("cannot be read");
}

const Json& Against::line_like(const Json& line) const {
  const bool layer = line.contains("layer");
  std::string reason = "holds no " + (layer ? "layer " + shown_value(line["layer"])
                                            : "run of " + line.at("bench").get<std::string>());
  const Json* latest = nullptr;
  for (const Json& old : lines_) {
    if (old["bench"] != line["bench"] || value_of(old, "layer") != value_of(line, "layer")) continue;
    const char* otherwise = nullptr;
    for (const char* key : kAlike)
      if (!otherwise && value_of(old, key) != value_of(line, key)) otherwise = key;
    if (!otherwise) {
      latest = &old;
      continue;
    }
    reason = std::string("measured ") + (layer ? shown_value(line["layer"]) + " " : "") + "with " +
             otherwise + " " + shown_value(value_of(old, otherwise)) + ", this run has " +
             shown_value(value_of(line, otherwise));
  }
  if (!latest) refuse(reason);
  return *latest;
}

void Against::warn(const Json& line, const Json& context) const {
  const Json& old = line_like(line);
  const auto compare = [&](const std::string& what, const Json& before, const Json& now) {
    if (before != now)
      std::fprintf(stderr, "warning: %s: %s was %s, now %s\n", name_.c_str(), what.c_str(),
                   shown_value(before).c_str(), shown_value(now).c_str());
  };
  compare("repetitions", value_of(old, "repetitions"), line["repetitions"]);
  compare("image", value_of(old, "image"), value_of(line, "image"));
  const Json before = value_of(old, "context");
  if (!before.is_object()) {
    std::fprintf(stderr, "warning: %s: has no context\n", name_.c_str());
    return;
  }
  for (const auto& [key, now] : context.items())
    if (now.is_object())  // the caps
      for (const auto& [name, value] : now.items())
        compare(name, value_of(value_of(before, key), name), value);
    else
      compare(key, value_of(before, key), now);
}

double Against::ratio(const Json& line, const char* key, const char* statistic) const {
  const Json old = value_of(value_of(line_like(line), key), statistic);
  if (!old.is_number() || !(old.get<double>() > 0)) refuse(std::string("has no ") + key + " " + statistic);
  return line.at(key).at(statistic).get<double>() / old.get<double>();
}

Json Against::ratios(const Json& line, const char* key) const {
  return {{"min", ratio(line, key, "min")}, {"median", ratio(line, key, "median")}};
}

void Against::refuse(const std::string& reason) const {
  throw UsageError(name_ + ": " + reason);
}

}  // namespace adaface::cli
