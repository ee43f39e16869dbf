// SPDX-License-Identifier: Apache-2.0
#include <sevmon/channel.hpp>

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ids/channel/model_agent.hpp"

namespace sevmon::ids::test {
namespace {

namespace fs = std::filesystem;
using common::ErrorCode;

class KeyTest : public ::testing::Test {
 protected:
  KeyTest() {
    std::string pattern = (fs::temp_directory_path() / "sevmon-key-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error{"mkdtemp"};
    folder_ = pattern;
  }
  ~KeyTest() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  std::string write(const std::string& name, const Bytes& bytes, mode_t mode = 0600) {
    std::ofstream out{path(name), std::ios::binary};
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
    out.close();
    ::chmod(path(name).c_str(), mode);
    return path(name);
  }

  Bytes contents(const std::string& name) const {
    std::ifstream in{path(name), std::ios::binary};
    const std::string text{std::istreambuf_iterator<char>{in}, {}};
    const auto bytes = std::as_bytes(std::span{text});
    return {bytes.begin(), bytes.end()};
  }

  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator{folder_})
      names.push_back(entry.path().filename().string());
    std::ranges::sort(names);
    return names;
  }

  mode_t mode_of(const std::string& name) const {
    struct stat facts {};
    ::stat(path(name).c_str(), &facts);
    return facts.st_mode & 07777;
  }

  fs::path folder_;
};

template <typename T>
ErrorCode code_of(const common::Result<T>& result) {
  EXPECT_FALSE(result);
  return result ? ErrorCode::kInternal : result.error().code;
}

TEST_F(KeyTest, LoadsWhatIsThere) {
  const auto key = Key::load(write("key", key_file()));
  ASSERT_TRUE(key) << key.error().message();
  EXPECT_EQ(key->agent_id(), kAgentId);
  EXPECT_EQ(key->ids_id(), kIdsId);
  EXPECT_EQ(key->psk()[0], 0x11);
  EXPECT_EQ(key->psk()[31], 0x5f);
}

TEST_F(KeyTest, OthersMayNotReadIt) {
  for (const mode_t mode : {0604, 0640, 0602, 0620, 0601, 0610, 0666})
    EXPECT_EQ(code_of(Key::load(write("key", key_file(), mode))), ErrorCode::kKey) << mode;
  for (const mode_t mode : {0600, 0400, 0700})
    EXPECT_TRUE(Key::load(write("key", key_file(), mode))) << mode;
}

TEST_F(KeyTest, NoFileOfSomebodyElses) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  const auto file = write("key", key_file());
  ASSERT_EQ(::chown(file.c_str(), 12345, 0), 0);
  EXPECT_EQ(code_of(Key::load(file)), ErrorCode::kKey);
}

TEST_F(KeyTest, OnlyPlainFiles) {
  fs::create_symlink(write("key", key_file()), path("link"));
  EXPECT_EQ(code_of(Key::load(path("link"))), ErrorCode::kKey);
  EXPECT_EQ(code_of(Key::load(folder_.string())), ErrorCode::kKey);
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  EXPECT_EQ(code_of(Key::load(path("fifo"))), ErrorCode::kKey);
  EXPECT_EQ(code_of(Key::load(path("none"))), ErrorCode::kIo);
}

TEST_F(KeyTest, TruncatedAtEachLengthAndOneOver) {
  const auto file = key_file();
  for (std::size_t bytes = 0; bytes < file.size(); ++bytes)
    EXPECT_EQ(code_of(Key::parse(std::span{file}.first(bytes))), ErrorCode::kKey) << bytes;
  auto longer = file;
  longer.push_back({});
  EXPECT_EQ(code_of(Key::parse(longer)), ErrorCode::kKey);
  EXPECT_EQ(code_of(Key::load(write("key", Bytes(8000)))), ErrorCode::kKey);
}

TEST_F(KeyTest, HeadIsChecked) {
  for (std::size_t byte = 0; byte < 16; ++byte) {
    auto file = key_file();
    file[byte] ^= std::byte{0x40};
    EXPECT_EQ(code_of(Key::parse(file)), ErrorCode::kKey) << "byte " << byte;
  }
  for (const auto& [offset, bytes] : {std::pair{16, 16}, {32, 16}, {48, 32}}) {
    auto file = key_file();
    std::fill_n(file.begin() + offset, bytes, std::byte{});
    EXPECT_EQ(code_of(Key::parse(file)), ErrorCode::kKey) << "zeros at " << offset;
  }
}

TEST_F(KeyTest, AgentsFileIsNotAnIdss) {
  auto file = key_file();
  file.insert(file.end(), file.end() - 48, file.end());
  file[32 + 48] ^= std::byte{1};
  file[32 + 48 + 16] ^= std::byte{1};
  file[10] = std::byte{2};
  const auto key = Key::parse(file);
  ASSERT_FALSE(key);
  EXPECT_NE(key.error().detail.find("an agent's"), std::string::npos);
}

TEST_F(KeyTest, MovesLeaveOneOwner) {
  auto key = *Key::parse(key_file());
  const auto* const psk = key.psk().data();
  const auto moved = std::move(key);
  EXPECT_EQ(moved.psk().data(), psk);
}

TEST_F(KeyTest, RevokesOne) {
  for (const auto* name : {"a", "b", "c"}) ASSERT_TRUE(generate_key(path(name), path("agent")));
  const auto before = contents("agent");
  const auto id_of = [&](const char* name) { return Key::load(path(name))->ids_id(); };
  ASSERT_TRUE(revoke_key(id_of("b"), path("agent")));
  auto expected = before;
  expected[10] = std::byte{2};
  expected.erase(expected.begin() + 32 + 48, expected.begin() + 32 + 2 * 48);
  EXPECT_EQ(contents("agent"), expected);
  EXPECT_EQ(mode_of("agent"), 0600u);

  const auto again = revoke_key(id_of("b"), path("agent"));
  EXPECT_EQ(code_of(again), ErrorCode::kNotFound);
  EXPECT_EQ(contents("agent"), expected);
  ASSERT_TRUE(revoke_key(id_of("c"), path("agent")));
  EXPECT_EQ(code_of(revoke_key(id_of("a"), path("agent"))), ErrorCode::kKey) << "the only one";
  EXPECT_EQ(contents("agent").size(), 32u + 48);
  EXPECT_EQ(code_of(revoke_key(id_of("a"), path("none"))), ErrorCode::kNotFound);
}

TEST_F(KeyTest, GeneratesBothFiles) {
  ASSERT_TRUE(generate_key(path("a"), path("agent")));
  ASSERT_TRUE(generate_key(path("b"), path("agent")));
  EXPECT_EQ(names(), (std::vector<std::string>{"a", "agent", "b"}));
  for (const auto* name : {"a", "agent", "b"}) EXPECT_EQ(mode_of(name), 0600u) << name;
  const auto a = Key::load(path("a")), b = Key::load(path("b"));
  ASSERT_TRUE(a && b);
  EXPECT_EQ(a->agent_id(), b->agent_id());
  EXPECT_NE(a->ids_id(), b->ids_id());
  EXPECT_FALSE(std::ranges::equal(a->psk(), b->psk()));
  // The agent's file: the same head but for the count, then both entries.
  const auto agent = contents("agent"), file_a = contents("a"), file_b = contents("b");
  ASSERT_EQ(agent.size(), 32u + 2 * 48);
  EXPECT_TRUE(std::equal(agent.begin() + 32, agent.begin() + 80, file_a.begin() + 32));
  EXPECT_TRUE(std::equal(agent.begin() + 80, agent.end(), file_b.begin() + 32));
}

TEST_F(KeyTest, EightAndNoMore) {
  for (int i = 0; i < SEVMON_MAX_KEYS; ++i)
    ASSERT_TRUE(generate_key(path("ids" + std::to_string(i)), path("agent")));
  const auto before = contents("agent");
  EXPECT_EQ(code_of(generate_key(path("ninth"), path("agent"))), ErrorCode::kKey);
  EXPECT_FALSE(fs::exists(path("ninth")));
  EXPECT_EQ(contents("agent"), before);
}

TEST_F(KeyTest, NeverOverwritesAnIdssKey) {
  ASSERT_TRUE(generate_key(path("a"), path("agent")));
  const auto agent = contents("agent"), a = contents("a");
  EXPECT_EQ(code_of(generate_key(path("a"), path("agent"))), ErrorCode::kIo);
  fs::create_symlink(path("elsewhere"), path("dangling"));
  EXPECT_EQ(code_of(generate_key(path("dangling"), path("agent"))), ErrorCode::kIo);
  EXPECT_FALSE(fs::exists(path("elsewhere")));
  EXPECT_EQ(contents("agent"), agent);
  EXPECT_EQ(contents("a"), a);
}

TEST_F(KeyTest, AgentsFileMustBeOneAndOurs) {
  write("agent", Bytes(32));
  EXPECT_EQ(code_of(generate_key(path("a"), path("agent"))), ErrorCode::kKey);
  write("agent", key_file(), 0644);
  EXPECT_EQ(code_of(generate_key(path("a"), path("agent"))), ErrorCode::kKey);
  fs::remove(path("agent"));
  fs::create_symlink(write("real", key_file()), path("agent"));
  EXPECT_EQ(code_of(generate_key(path("a"), path("agent"))), ErrorCode::kKey);
  EXPECT_FALSE(fs::exists(path("a")));
}

TEST_F(KeyTest, OnePathForBothIsUsage) {
  EXPECT_EQ(code_of(generate_key(path("a"), path("./a"))), ErrorCode::kUsage);
  EXPECT_TRUE(names().empty());
}

TEST_F(KeyTest, TwoAtOnceLoseNone) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back(
        [this, i] { EXPECT_TRUE(generate_key(path("ids" + std::to_string(i)), path("agent"))); });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(contents("agent").size(), 32u + 4 * 48);
}

}  // namespace
}  // namespace sevmon::ids::test
