// SPDX-License-Identifier: Apache-2.0
#include "config.hpp"

#include <gtest/gtest.h>

#include <sstream>

namespace sevmon::proxy {
namespace {

TEST(Config, EveryKeyReachesItsPlace) {
  Settings settings;
  const auto applied = apply_config(R"(
    listen = ["0.0.0.0:7100", "[::1]:7101"]
    backend = "image"
    [xen]
    helper = "/run/h"
    [image]
    file = "/a"
    format = "raw"
    key = "/k"
    threads = 3
    lanes = "/l"
    [limits]
    connections = 10
    connections_per_source = 4
    frames_per_connection = 5
    frames_unproven = 4
    bytes_per_connection = 65536
    frames = 6
    bytes = 65537
    [deadlines]
    idle_ms = 1
    frame_ms = 2
    answer_ms = 3
    write_ms = 4
    drain_ms = 5
    [log]
    level = "debug"
  )",
                                    "t", settings);
  ASSERT_TRUE(applied) << applied.error().message();
  ASSERT_EQ(settings.listen.size(), 2U);
  EXPECT_EQ(to_text(settings.listen[0]), "0.0.0.0:7100");
  EXPECT_EQ(to_text(settings.listen[1]), "[::1]:7101");
  EXPECT_EQ(settings.backend, BackendKind::kImage);
  EXPECT_EQ(settings.helper_socket, "/run/h");
  EXPECT_EQ(settings.image_file, "/a");
  EXPECT_EQ(settings.image_format, "raw");
  EXPECT_EQ(settings.image_key_file, "/k");
  EXPECT_EQ(settings.image_threads, 3U);
  EXPECT_EQ(settings.image_lanes, "/l");
  EXPECT_EQ(settings.limits.connections, 10U);
  EXPECT_EQ(settings.limits.connections_per_source, 4U);
  EXPECT_EQ(settings.limits.frames_per_connection, 5U);
  EXPECT_EQ(settings.limits.frames_unproven, 4U);
  EXPECT_EQ(settings.limits.bytes_per_connection, 65536U);
  EXPECT_EQ(settings.limits.frames, 6U);
  EXPECT_EQ(settings.limits.bytes, 65537U);
  EXPECT_EQ(settings.deadlines.idle.count(), 1);
  EXPECT_EQ(settings.deadlines.frame.count(), 2);
  EXPECT_EQ(settings.deadlines.answer.count(), 3);
  EXPECT_EQ(settings.deadlines.write.count(), 4);
  EXPECT_EQ(settings.deadlines.drain.count(), 5);
  EXPECT_EQ(settings.log_level, LogLevel::kDebug);
  EXPECT_TRUE(check_settings(settings));
}

struct Wrong {
  const char* line;   // the file's second line
  const char* error;  // after "t:2: "
};

const Wrong kWrong[] = {
    {"listen = 7100", "listen: is not a list of \"ADDRESS:PORT\""},
    {"listen = []", "listen: is not a list of \"ADDRESS:PORT\""},
    {"listen = [7100]", "listen: is not a list of \"ADDRESS:PORT\""},
    {"listen = [\"localhost:7100\"]", "listen: 'localhost:7100' is not ADDRESS:PORT in numbers"},
    {"listen = [\"127.0.0.1:65536\"]", "listen: '127.0.0.1:65536' is not ADDRESS:PORT in numbers"},
    {"listen = [\"::1:7100\"]", "listen: '::1:7100' is not ADDRESS:PORT in numbers"},
    {"backend = \"Xen\"", "backend: 'Xen' is not xen or image"},
    {"backend = 1", "backend: is not a string"},
    {"xen.helper = 1", "xen.helper: is not a string"},
    {"xen.helper = \"\"", "xen.helper: is empty"},
    {"xen.helper = \"a\\u0000b\"", "xen.helper: has a NUL in it"},
    {"xen = 1", "xen: is not a table"},
    {"xen.device = \"/dev/xen/privcmd\"", "xen.device: no such key"},
    {"image.file = true", "image.file: is not a string"},
    {"image.format = \"core\"", "image.format: 'core' is not auto, elf, lime or raw"},
    {"image.key = []", "image.key: is not a string"},
    {"image.lanes = 4", "image.lanes: is not a string"},
    {"image.threads = 0", "image.threads: 0 is not within 1..256"},
    {"image.threads = 257", "image.threads: 257 is not within 1..256"},
    {"limits.connections = 0", "limits.connections: 0 is not within 1..65536"},
    {"limits.connections = 65537", "limits.connections: 65537 is not within 1..65536"},
    {"limits.connections = -1", "limits.connections: -1 is not within 1..65536"},
    {"limits.connections = 1.0", "limits.connections: is not a whole number"},
    {"limits.connections = \"1\"", "limits.connections: is not a whole number"},
    {"limits.connections_per_source = 0",
     "limits.connections_per_source: 0 is not within 1..65536"},
    {"limits.frames_per_connection = 0", "limits.frames_per_connection: 0 is not within 1..65536"},
    {"limits.bytes_per_connection = 65535",
     "limits.bytes_per_connection: 65535 is not within 65536..17179869184"},
    {"limits.frames = 65537", "limits.frames: 65537 is not within 1..65536"},
    {"limits.bytes = 17179869185", "limits.bytes: 17179869185 is not within 65536..17179869184"},
    {"deadlines.idle_ms = 0", "deadlines.idle_ms: 0 is not within 1..86400000"},
    {"deadlines.frame_ms = 86400001", "deadlines.frame_ms: 86400001 is not within 1..86400000"},
    {"deadlines.answer_ms = false", "deadlines.answer_ms: is not a whole number"},
    {"deadlines.write_ms = 0", "deadlines.write_ms: 0 is not within 1..86400000"},
    {"deadlines.drain_ms = 0", "deadlines.drain_ms: 0 is not within 1..86400000"},
    {"log.level = \"loud\"", "log.level: 'loud' is not error, warning, info or debug"},
    {"log.level = 3", "log.level: is not a string"},
    {"colour = \"red\"", "colour: no such key"},
    {"\"limits.frames\" = 1", "limits.frames: no such key"},
    {"limits.deep.frames = 1", "limits.deep: no such key"},
    {"Listen = [\"127.0.0.1:1\"]", "Listen: no such key"},
};

TEST(Config, WrongValuesAreNamedByFileLineAndKey) {
  for (const auto& wrong : kWrong) {
    Settings settings;
    const auto applied = apply_config(std::string{"# first\n"} + wrong.line + "\n", "t", settings);
    ASSERT_FALSE(applied) << wrong.line;
    EXPECT_EQ(applied.error().code, common::ErrorCode::kUsage);
    EXPECT_EQ(applied.error().detail, std::string{"t:2: "} + wrong.error);
  }
}

TEST(Config, BadTomlIsNamedByFileAndLine) {
  Settings settings;
  for (const char* text : {"a = 1\nb = = 2\n", "a = 1\n[limits\n", "limits = 1\nlimits = 2\n"}) {
    const auto applied = apply_config(text, "t", settings);
    ASSERT_FALSE(applied) << text;
    EXPECT_EQ(applied.error().code, common::ErrorCode::kUsage) << text;
    EXPECT_EQ(applied.error().detail.substr(0, 2), "t:") << text;
  }
}

// Found by fuzzing: over these toml++ ends the program.
TEST(Config, WhatTomlPlusPlusAssertsIsNamedByFileAndLine) {
  Settings settings;
  for (const char* text : {"\n[\n", "\n [ \t", "\n[[\n", "\n[[ \nx]]\n", "\n[\rlimits]",
                           "\n[=", "\n[[[", "\n[.", "\nlist = [}", "list = [\n}'its;"}) {
    const auto applied = apply_config(text, "t", settings);
    ASSERT_FALSE(applied) << text;
    EXPECT_TRUE(applied.error().detail.starts_with("t:2: ")) << applied.error().detail;
  }
  for (const char* text : {"[limits]\n", "  [ limits ]\n", "['limits']\n"})
    EXPECT_TRUE(apply_config(text, "t", settings)) << text;
}

TEST(Config, CharactersAboveAsciiAreInCommentsAndStringsOnly) {
  Settings settings;
  for (const char* text :
       {"\n\xc3\xa9 = 1", "\nl= \xef\xbb\xbcS\n", "\n\xc2\xa0[\n]", "\n[\xc2\xa0\n", "#\n\xcb\x8b",
        "\n''\xc3\xa9", "\n\"\\\"\"\xc3\xa9", "\n\"\\\\\"\xc3\xa9", "'\n\xc3\xa9'",
        "\na = 1[\"\xc3\xa9\"]", "\na = 1=\"\xc3\xa9\"", "a = [\n1=\"\xc3\xa9\"]",
        "\"\\\n\xc3\xa9\"", "\n'\\'\xc3\xa9", "\"\"\"\\\n\xc3\xa9", "'''\n# \xc3\xa9'''",
        "\"\"\"\n\" \\ \xc3\xa9"}) {
    const auto applied = apply_config(text, "t", settings);
    ASSERT_FALSE(applied) << text;
    EXPECT_EQ(applied.error().detail,
              "t:2: a character that is not ASCII, outside of comments and strings")
        << text;
  }
  for (const char* text :
       {"# \xe8\xa8\xad\xe5\xae\x9a\n", "[limits] # \xc3\xa9", "\xef\xbb\xbf[limits]\n"})
    EXPECT_TRUE(apply_config(text, "t", settings)) << text;
  const auto named = apply_config("backend = \"\\\"\xc3\xa9\"", "t", settings);
  ASSERT_FALSE(named);
  EXPECT_EQ(named.error().detail.find("ASCII"), std::string::npos) << named.error().detail;
}

TEST(Config, FilesThatCannotBeReadAreErrors) {
  Settings settings;
  EXPECT_FALSE(load_config("/nonexistent/dom0-proxy.toml", settings));
  EXPECT_FALSE(load_config("/", settings));
  EXPECT_TRUE(load_config("/dev/null", settings));
}

TEST(Config, SettingsMustFitTogether) {
  Settings good;
  good.listen = {*parse_endpoint("127.0.0.1:7100")};
  ASSERT_TRUE(check_settings(good));
  const auto refused = [&good](auto change) {
    Settings settings = good;
    change(settings);
    return !check_settings(settings).has_value();
  };
  EXPECT_TRUE(refused([](auto& s) { s.listen.clear(); }));
  EXPECT_TRUE(refused([](auto& s) { s.backend = BackendKind::kImage; }));
  EXPECT_TRUE(refused([](auto& s) {
    s.backend = BackendKind::kImage;
    s.image_file = "f";
  }));
  const auto image = [](Settings& s) {
    s.backend = BackendKind::kImage;
    s.image_file = "f";
    s.image_key_file = "k";
  };
  // Lanes are a way to an image's agent, and enough of one.
  EXPECT_TRUE(refused([](auto& s) { s.image_lanes = "l"; }));
  EXPECT_FALSE(refused([&](auto& s) { image(s), s.image_lanes = "l"; }));
  EXPECT_FALSE(refused([&](auto& s) { image(s), s.image_lanes = "l", s.listen.clear(); }));
  EXPECT_TRUE(refused([&](auto& s) { image(s), s.listen.clear(); }));
  EXPECT_TRUE(refused([](auto& s) { s.limits.connections_per_source = s.limits.connections + 1; }));
  EXPECT_TRUE(refused([](auto& s) { s.limits.frames_per_connection = s.limits.frames + 1; }));
  EXPECT_TRUE(refused([](auto& s) { s.limits.bytes_per_connection = s.limits.bytes + 1; }));
}

TEST(Endpoint, IsAnAddressAndAPortInNumbers) {
  EXPECT_EQ(to_text(*parse_endpoint("0.0.0.0:0")), "0.0.0.0:0");
  EXPECT_EQ(to_text(*parse_endpoint("[::]:65535")), "[::]:65535");
  for (const char* text : {"", ":", "1.2.3.4", "1.2.3.4:", ":7100", "1.2.3.4:x", "1.2.3.4:-1",
                           "1.2.3.4:1 ", "[1.2.3.4]:1", "::1:1", "[::1]", "[]:1", "name:1"})
    EXPECT_FALSE(parse_endpoint(text)) << text;
}

}  // namespace
}  // namespace sevmon::proxy
