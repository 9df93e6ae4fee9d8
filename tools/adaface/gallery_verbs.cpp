// adaface gallery list | remove | export | import | verify
#include <memory>
#include <set>

#include "src/gallery/exchange_rows.h"
#include "tools/adaface/gallery.h"
#include "tools/adaface/json.h"
#include "tools/adaface/pictures.h"
#include "tools/adaface/representations.h"
#include "tools/adaface/verbs.h"
#include "tools/command_line.h"

namespace adaface::cli {
namespace {

namespace fs = std::filesystem;

struct Arguments : Options {
  std::string gallery;
  std::vector<std::string> people, files;
  std::string npy, csv, jsonl, identity = "folder";
  double duplicates_above = 0.6;
};

int list(const Arguments& arguments) {
  const Gallery gallery = open_gallery(arguments.gallery);
  std::vector<Person> people = usable([&] { return gallery.people(); });
  // Photographs without a face stand in the file too, so that they are not looked at again.
  std::erase_if(people, [](const Person& person) { return person.photographs == 0; });
  std::size_t photographs = 0, faces = 0, width = 0;
  for (const Person& person : people) {
    photographs += person.photographs;
    faces += person.faces;
    width = std::max(width, characters(printable(person.identity)));
    if (arguments.json)
      print_line(
          {{"identity", person.identity}, {"photographs", person.photographs}, {"faces", person.faces}});
  }
  if (arguments.json) return kDone;
  for (const Person& person : people)
    std::printf("%s  %s\n", padded(printable(person.identity), std::min<std::size_t>(width, 60)).c_str(),
                counted(person.photographs, "photograph").c_str());
  if (!arguments.quiet)
    std::printf("%s: %s, %s, %s, model %s %.16s\n", printable(gallery.path()).c_str(),
                people_text(people.size()).c_str(), counted(photographs, "photograph").c_str(),
                counted(faces, "face").c_str(), printable(gallery.model().architecture).c_str(),
                printable(gallery.model().weights_sha256).c_str());
  return kDone;
}

// Whom a name means: the person of that name, else the only one whom 'list' prints so.
std::string named(const Gallery& gallery, const std::vector<Person>& people, const std::string& name) {
  if (std::ranges::find(people, name, &Person::identity) != people.end()) return name;
  const std::string where = printable(gallery.path()) + ": ";
  std::vector<std::string> alike;
  for (const Person& person : people)
    if (printable(person.identity) == name) alike.push_back(person.identity);
  if (alike.empty())
    throw UsageError(where + "no person \"" + printable(name) +
                     "\"; nothing was removed ('adaface gallery list' shows who is there)");
  if (alike.size() > 1)
    throw UsageError(where + std::to_string(alike.size()) + " people are printed as \"" + printable(name) +
                     "\"; nothing was removed ('adaface gallery list --json' tells them apart)");
  return alike.front();
}

// All of them or, when one is not there, none.
int remove(const Arguments& arguments) {
  Gallery gallery = open_gallery_to_change(arguments.gallery);
  std::set<std::string> leaving;  // who is named twice leaves once
  usable([&] {
    const std::vector<Person> people = gallery.people();
    for (const std::string& name : arguments.people) leaving.insert(named(gallery, people, name));
    Gallery::Transaction transaction(gallery);
    for (const std::string& person : leaving) transaction.remove_person(person);
    transaction.commit();
  });
  for (const std::string& person : leaving) {
    if (arguments.json)
      print_line({{"identity", person}, {"action", "removed"}});
    else if (!arguments.quiet)
      std::printf("removed %s\n", printable(person).c_str());
  }
  return kDone;
}

// An error that names the gallery is one of the gallery; others are of the file that is read or written.
template <typename Use>
void of_gallery(const std::string& gallery, Use use) {
  try {
    use();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::invalid_argument &&
        std::string(error.what()).starts_with(printable(gallery) + ":"))
      throw ModelError(error.what());
    throw;
  }
}

// Every file that is going to be written is another, and none is of the gallery.
void check_targets(const Arguments& arguments) {
  std::set<fs::path> taken;
  for (const char* suffix : {"", "-wal", "-shm", "-journal"})
    taken.insert(stored_path(arguments.gallery + suffix));
  std::vector<fs::path> targets = {arguments.npy, arguments.csv, arguments.jsonl};
  if (!arguments.npy.empty()) targets.push_back(gallery::columns_of_npy(arguments.npy));
  for (const fs::path& target : targets)
    if (!target.empty() && !taken.insert(stored_path(target)).second)
      throw UsageError(
          "gallery export: " + printable(target) +
          " is the gallery or written twice (--npy x.npy writes x.csv too); expected other names");
}

// What was written to a file, or read from it.
void print_counts(const Arguments& arguments, const std::string& file, std::size_t photographs,
                  std::size_t faces) {
  if (arguments.json)
    print_line({{"file", file}, {"photographs", photographs}, {"faces", faces}});
  else if (!arguments.quiet)
    std::printf("%s: %s, %s\n", printable(file).c_str(), counted(photographs, "photograph").c_str(),
                counted(faces, "face").c_str());
}

int export_to(const Arguments& arguments) {
  if (arguments.npy.empty() && arguments.csv.empty() && arguments.jsonl.empty())
    throw UsageError("gallery export: expected --npy, --csv or --jsonl");
  check_targets(arguments);
  const Gallery gallery = open_gallery(arguments.gallery);
  std::size_t photographs = 0, faces = 0;
  for (const Person& person : usable([&] { return gallery.people(); })) {
    photographs += person.photographs;
    faces += person.faces;
  }
  const std::pair<ExchangeFormat, const std::string&> wanted[] = {{ExchangeFormat::npy, arguments.npy},
                                                                  {ExchangeFormat::csv, arguments.csv},
                                                                  {ExchangeFormat::jsonl, arguments.jsonl}};
  for (const auto& [format, path] : wanted)
    if (!path.empty()) {
      of_gallery(arguments.gallery, [&] { export_faces(gallery, format, path); });
      print_counts(arguments, path, photographs, faces);
      if (format == ExchangeFormat::npy)
        print_counts(arguments, gallery::columns_of_npy(path).string(), photographs, faces);
    }
  return kDone;
}

int import_from(const Arguments& arguments) {
  int failed = 0;
  for (const std::string& file : arguments.files) {
    try {
      ImportReport report;
      of_gallery(arguments.gallery,
                 [&] { report = import_file(arguments.gallery, file, arguments.model, arguments.identity); });
      print_counts(arguments, file, report.photographs, report.faces);
    } catch (const Error& error) {
      ++failed;
      report({file, file, {}}, {error.code(), error.what()}, arguments.json);
    }
  }
  return failed == 0 ? kDone : kSomeInputsFailed;
}

Json to_json(const GalleryFace& face) {
  return {{"identity", face.identity}, {"file", face.photograph.native()}};
}

int verify(const Arguments& arguments) {
  const Gallery gallery = open_gallery(arguments.gallery);
  const GalleryReport found = gallery.verify(arguments.duplicates_above, arguments.thread_count());
  if (arguments.json) {
    Json duplicates = Json::array();
    for (const GalleryReport::Pair& pair : found.duplicates)
      duplicates.push_back({{"a", to_json(pair.a)}, {"b", to_json(pair.b)}, {"similarity", pair.similarity}});
    print_line({{"gallery", gallery.path().native()},
                {"damage", found.damage},
                {"duplicates", duplicates},
                {"duplicate_pairs", found.duplicate_pairs}});
  } else {
    for (const std::string& line : found.damage) std::printf("damaged: %s\n", line.c_str());
    for (const GalleryReport::Pair& pair : found.duplicates)
      std::printf("alike: %.4f  %s (%s)  %s (%s)\n", pair.similarity, printable(pair.a.identity).c_str(),
                  printable(pair.a.photograph).c_str(), printable(pair.b.identity).c_str(),
                  printable(pair.b.photograph).c_str());
    if (!arguments.quiet)
      std::printf("%s: %s, %s of different people with a similarity of %.4g or more\n",
                  printable(gallery.path()).c_str(), found.damage.empty() ? "sound" : "damaged",
                  counted(found.duplicate_pairs, "pair").c_str(), arguments.duplicates_above);
  }
  return found.damage.empty() ? kDone : kUnusableModel;
}

CLI::App* add(CLI::App& verb, const char* name, const char* what, Arguments& arguments) {
  CLI::App* action = verb.add_subcommand(name, what);
  action->add_option("gallery", arguments.gallery, "The gallery file")->type_name("GALLERY")->required();
  return action;
}

}  // namespace

void add_gallery(CLI::App& app, int& exit_code) {
  CLI::App* verb = app.add_subcommand("gallery", "List, change, export, import and check a gallery");
  verb->require_subcommand(1);
  verb->footer(
      "Example:\n"
      "  adaface gallery list people.gallery\n"
      "\n"
      "'adaface gallery ACTION --help' explains an action.");
  const auto finish = [&exit_code](CLI::App* action, const std::shared_ptr<Arguments>& arguments,
                                   int (*run)(const Arguments&), const char* footer) {
    add_output_options(*action, *arguments);
    action->footer(footer);
    action->callback([=, &exit_code] { exit_code = run(*arguments); });
  };
  {
    const auto arguments = std::make_shared<Arguments>();
    CLI::App* action = add(*verb, "list", "People and the number of their photographs", *arguments);
    finish(action, arguments, list, "Example:\n  adaface gallery list people.gallery --json");
  }
  {
    const auto arguments = std::make_shared<Arguments>();
    CLI::App* action = add(*verb, "remove", "Remove people with all their photographs", *arguments);
    action->add_option("people", arguments->people, "Names as 'list' prints them, or as they are")
        ->type_name("PERSON")
        ->required();
    finish(action, arguments, remove, "Example:\n  adaface gallery remove people.gallery ada");
  }
  {
    const auto arguments = std::make_shared<Arguments>();
    CLI::App* action = add(*verb, "export", "Write the faces to files that other programs read", *arguments);
    add_output_file(*action, "--npy", arguments->npy,
                    "Embeddings, float32 {faces, 512}; the rest beside it in .csv");
    add_output_file(*action, "--csv", arguments->csv, "One row a face; --npy writes one of its own");
    add_output_file(*action, "--jsonl", arguments->jsonl, "One JSON object a line");
    finish(action, arguments, export_to,
           "Example:\n  adaface gallery export people.gallery --csv people.csv");
  }
  {
    const auto arguments = std::make_shared<Arguments>();
    CLI::App* action = add(*verb, "import", "Add the faces of exported files", *arguments);
    action->add_option("files", arguments->files, "Files of 'export', or representations_*.pkl")
        ->type_name("FILE")
        ->required();
    action
        ->add_option("--identity", arguments->identity,
                     "Of a .pkl: whose photograph it is: its folder, its path, or its name without extension "
                     "(default folder)")
        ->check(CLI::IsMember({"folder", "path", "stem"}))
        ->type_name("RULE");
    action->add_option("--model", arguments->model, "Of a .pkl: the network that made its embeddings")
        ->type_name("FILE");
    finish(action, arguments, import_from,
           "Example:\n"
           "  adaface gallery import people.gallery representations_adaface_ir_101.pkl --model ir_101.afw\n"
           "\n"
           "A gallery that is not there is made. The pickle of the Python pipeline is read, never executed; "
           "it does\n"
           "not say which network made it, so --model has to.");
  }
  {
    const auto arguments = std::make_shared<Arguments>();
    CLI::App* action =
        add(*verb, "verify", "Check the file, its values, and people that look alike", *arguments);
    action
        ->add_option("--duplicates-above", arguments->duplicates_above,
                     "Name pairs of different people at least this similar (default 0.6)")
        ->check(number_between(-1, 1))
        ->type_name("T");
    action->add_option("--threads", arguments->threads, "Threads; default: the CPUs this process may use")
        ->check(CLI::Range(1, 1024))
        ->type_name("N");
    finish(action, arguments, verify,
           "Example:\n  adaface gallery verify people.gallery --duplicates-above 0.5\n\n"
           "Exit code 3 when the file is damaged.");
  }
}

}  // namespace adaface::cli
