// SPDX-License-Identifier: Apache-2.0
//
// The file of a dump: whose it is, and what a disk that fails leaves of it. Disks fail here by
// fsync() and renameat2() of our own.
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include "dump_file.hpp"

namespace {
int fsyncs_until_one_fails = -1;
bool has_renameat2 = true;
}  // namespace

extern "C" int fsync(int) {
  if (fsyncs_until_one_fails < 0 || fsyncs_until_one_fails-- > 0) return 0;
  errno = EIO;
  return -1;
}

extern "C" int renameat2(int, const char* from, int, const char* to, unsigned flags) noexcept {
  if (!has_renameat2 && flags != 0) {
    errno = EINVAL;
    return -1;
  }
  if (flags != 0 && access(to, F_OK) == 0) {
    errno = EEXIST;
    return -1;
  }
  return std::rename(from, to);
}

namespace sevmon::cli {
namespace {

namespace fs = std::filesystem;
using Begin = DumpFile::Begin;

const DumpPlan kPlan{.format = "lime",
                     .zstd = false,
                     .target = "00",
                     .is_image = true,
                     .domain = 0,
                     .frames = {{0, 3}}};

class DumpFileTest : public testing::Test {
 protected:
  DumpFileTest() {
    if (mkdtemp(directory.data()) == nullptr) throw std::runtime_error{"mkdtemp"};
    path = directory + "/dump";
    part = path + ".part";
    state = part + ".state";
  }
  ~DumpFileTest() override {
    fs::remove_all(directory);
    fsyncs_until_one_fails = -1;
    has_renameat2 = true;
  }
  std::unique_ptr<DumpFile> open(Begin begin) {
    auto file = DumpFile::open(path, begin, begin == Begin::kAnew);
    EXPECT_TRUE(file) << file.error().detail;
    return file ? *std::move(file) : nullptr;
  }
  std::string refusal(Begin begin) {
    const auto file = DumpFile::open(path, begin, begin == Begin::kAnew);
    return file ? "" : file.error().detail;
  }
  static common::Result<void> step(DumpFile& file, std::uint64_t frame) {
    const std::vector<std::byte> page(4096, std::byte{7});
    if (auto ok = file.append(page); !ok) return ok;
    return file.done({.read = {frame, 1},
                      .present = {{frame, 1}},
                      .file_bytes = file.bytes(),
                      .first_ns = 1,
                      .last_ns = 2});
  }

  std::string directory = fs::temp_directory_path() / "sevmon-dump-XXXXXX";
  std::string path, part, state;
};

TEST_F(DumpFileTest, WhatTheDiskLostIsNotSaidToBeThere) {
  {
    const auto file = open(Begin::kNew);
    ASSERT_TRUE(file->begin(kPlan));
    ASSERT_TRUE(step(*file, 0));
    ASSERT_TRUE(file->sync());
    ASSERT_TRUE(step(*file, 1));
    fsyncs_until_one_fails = 0;
    EXPECT_FALSE(file->sync());
    EXPECT_FALSE(file->sync()) << "the second fsync() would have said that all is well";
    EXPECT_FALSE(file->finish({}));
  }
  const auto file = open(Begin::kResume);
  ASSERT_TRUE(file);
  EXPECT_EQ(file->resumed()->progress.read.frames(), 1u);
}

TEST_F(DumpFileTest, WithoutRenameat2) {
  has_renameat2 = false;
  {
    const auto file = open(Begin::kNew);
    ASSERT_TRUE(file->begin(kPlan));
    std::ofstream{path} << "precious";
    EXPECT_FALSE(file->finish({}));
    EXPECT_EQ(fs::file_size(path), 8u);
  }
  fs::remove(path);
  const auto file = open(Begin::kResume);
  ASSERT_TRUE(file);
  const auto done = file->finish({});
  EXPECT_TRUE(done) << done.error().detail;
  EXPECT_TRUE(fs::exists(path));
  EXPECT_FALSE(fs::exists(part));
}

TEST_F(DumpFileTest, AFileThatHasAnotherNameIsNoPlaceForMemory) {
  for (const auto& name : {part, state})
    for (const auto begin : {Begin::kResume, Begin::kAnew}) {
      {
        const auto file = open(Begin::kAnew);
        ASSERT_TRUE(file);
        ASSERT_TRUE(file->begin(kPlan));
      }
      fs::create_hard_link(name, path + ".mine");
      EXPECT_NE(refusal(begin).find("this user's alone"), std::string::npos) << name;
      fs::remove(path + ".mine");
      EXPECT_EQ(refusal(begin), "");
    }
}

TEST_F(DumpFileTest, NorIsAnotherUsers) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  for (const auto& name : {part, state}) {
    {
      const auto file = open(Begin::kAnew);
      ASSERT_TRUE(file);
      ASSERT_TRUE(file->begin(kPlan));
    }
    ASSERT_EQ(chown(name.c_str(), 12345, 0), 0);
    EXPECT_NE(refusal(Begin::kResume).find("this user's alone"), std::string::npos);
    EXPECT_NE(refusal(Begin::kAnew).find("this user's alone"), std::string::npos);
    fs::remove(name);
  }
}

TEST_F(DumpFileTest, NobodyElseReadsWhatWasThere) {
  std::ofstream{part} << "of another time";
  fs::permissions(part, fs::perms{0666});
  const auto file = open(Begin::kAnew);
  EXPECT_EQ(fs::status(part).permissions(), fs::perms{0600});
}

}  // namespace
}  // namespace sevmon::cli
