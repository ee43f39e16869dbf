// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sevmon/profile.hpp>
#include <sstream>

#include "fake_kernel.hpp"

namespace sevmon::ids {
namespace {

using common::ErrorCode;
using common::Gva;
using fake::Bytes;

class Directory {
 public:
  Directory() {
    std::string name = (std::filesystem::temp_directory_path() / "profile-test-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error{"mkdtemp"};
    path_ = name;
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  std::string file(const std::string& name) const { return (path_ / name).string(); }
  std::string write(const std::string& name, const Bytes& bytes) const {
    std::ofstream{file(name), std::ios::binary}.write(reinterpret_cast<const char*>(bytes.data()),
                                                      static_cast<std::streamsize>(bytes.size()));
    return file(name);
  }
  std::size_t count() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator{path_}, {}));
  }

 private:
  std::filesystem::path path_;
};

void expect_same(const Profile& a, const Profile& b) {
  EXPECT_EQ(a.banner(), b.banner());
  EXPECT_EQ(a.release(), b.release());
  EXPECT_EQ(a.build_id(), b.build_id());
  EXPECT_EQ(a.file_sha256(), b.file_sha256());
  EXPECT_EQ(a.file_bytes(), b.file_bytes());
  EXPECT_EQ(a.type_count(), b.type_count());
  EXPECT_TRUE(std::equal(a.btf().begin(), a.btf().end(), b.btf().begin(), b.btf().end()));
  std::vector<std::tuple<std::string, std::uint64_t, char>> all[2];
  for (int i = 0; i < 2; ++i)
    (i == 0 ? a : b).for_each_symbol([&](const Symbol& symbol) {
      all[i].emplace_back(symbol.name, symbol.address.value, symbol.type);
    });
  EXPECT_TRUE(all[0] == all[1]);
  EXPECT_EQ(all[0].size(), a.symbol_count());
}

class ProfileTest : public testing::Test {
 protected:
  static constexpr fake::KallsymsOptions kOptions{fake::KallsymsOrder::k64,
                                                  fake::KallsymsForm::kAbsolutePerCpu};
  Directory directory_;
  fake::FakeKernel kernel_ = fake::make_kernel(kOptions);
  std::string vmlinuz_ =
      directory_.write("vmlinuz", fake::encode_bzimage(Compression::kXz, kernel_.vmlinux));
};

TEST_F(ProfileTest, IsBuiltFromAVmlinuz) {
  const auto profile = Profile::build(vmlinuz_);
  ASSERT_TRUE(profile) << profile.error().message();
  EXPECT_EQ(profile->banner(), fake::kBanner);
  EXPECT_EQ(profile->release(), "9.8.7-fake-amd64");
  EXPECT_EQ(profile->build_id(), "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3");
  EXPECT_EQ(profile->file_bytes(), std::filesystem::file_size(vmlinuz_));
  EXPECT_EQ(profile->symbol_count(), kernel_.symbols.size());
  EXPECT_EQ(profile->symbol("init_task").value(), Gva{fake::kRodataAddress + 16});
  EXPECT_EQ(profile->member("task_struct", "comm").value().offset_bytes, 16u);
  EXPECT_EQ(profile->size_of("task_struct").value(), 136u);
  EXPECT_EQ(profile->enumerator("PIDTYPE_MAX").value(), 4);
}

TEST_F(ProfileTest, RefusalsNameTheKernel) {
  const auto profile = Profile::build(vmlinuz_);
  ASSERT_TRUE(profile);
  EXPECT_FALSE(profile->has_symbol("nothing"));
  EXPECT_FALSE(profile->has_member("task_struct", "nothing"));
  for (const common::Error& error :
       {profile->symbol("nothing").error(), profile->member("task_struct", "nothing").error(),
        profile->size_of("nothing").error(), profile->enumerator("nothing").error()}) {
    EXPECT_EQ(error.code, ErrorCode::kNotFound);
    EXPECT_NE(error.detail.find("nothing"), std::string::npos);
    EXPECT_NE(error.detail.find("9.8.7-fake-amd64"), std::string::npos);
  }
}

TEST_F(ProfileTest, SymbolAtReachesOneMebibyte) {
  const auto profile = Profile::build(vmlinuz_);
  ASSERT_TRUE(profile);
  const Gva last{kernel_.symbols.back().address};
  EXPECT_EQ(profile->symbol_at(last)->address, last);
  EXPECT_EQ(profile->symbol_at(last + (1 << 20))->name, kernel_.symbols.back().name);
  EXPECT_FALSE(profile->symbol_at(last + (1 << 20) + 1));
  EXPECT_EQ(profile->symbol_at(Gva{fake::kTextAddress + 1})->name, "_text");
}

TEST_F(ProfileTest, LoadsWhatItSaved) {
  const auto built = Profile::build(vmlinuz_);
  ASSERT_TRUE(built);
  const std::string path = directory_.file("saved");
  ASSERT_TRUE(built->save(path));
  EXPECT_EQ(directory_.count(), 2u);
  const auto loaded = Profile::load(path);
  ASSERT_TRUE(loaded) << loaded.error().message();
  expect_same(*built, *loaded);
}

TEST_F(ProfileTest, SavingReplacesInOneStepAndLeavesNothingWhenItFails) {
  const auto built = Profile::build(vmlinuz_);
  ASSERT_TRUE(built);
  const std::string path = directory_.write("saved", fake::to_bytes("old"));
  ASSERT_TRUE(built->save(path));
  EXPECT_TRUE(Profile::load(path));
  EXPECT_EQ(built->save(directory_.file("none/saved")).error().code, ErrorCode::kIo);
  // A directory stands where the file should go.
  std::filesystem::create_directory(directory_.file("taken"));
  EXPECT_EQ(built->save(directory_.file("taken")).error().code, ErrorCode::kIo);
  EXPECT_EQ(directory_.count(), 3u);
}

TEST_F(ProfileTest, FilesThatAreNoneAreRefused) {
  EXPECT_EQ(Profile::build(directory_.file("none")).error().code, ErrorCode::kIo);
  EXPECT_EQ(Profile::load(directory_.file("none")).error().code, ErrorCode::kIo);
  EXPECT_EQ(Profile::build(directory_.file("")).error().code, ErrorCode::kIo);
  EXPECT_EQ(Profile::load(vmlinuz_).error().code, ErrorCode::kMalformed);
  EXPECT_EQ(Profile::build(directory_.write("empty", {})).error().code, ErrorCode::kTruncated);
}

Bytes without(const Bytes& vmlinux, std::string_view what, std::string_view instead) {
  Bytes changed = vmlinux;
  const auto* data = reinterpret_cast<const char*>(changed.data());
  const std::size_t at = std::string_view{data, changed.size()}.find(what);
  for (std::size_t i = 0; i < instead.size(); ++i) changed.at(at + i) = std::byte(instead[i]);
  return changed;
}

TEST_F(ProfileTest, KernelsThatLackSomethingAreRefused) {
  using namespace std::string_view_literals;
  struct Lacking {
    std::string_view what, instead;
    ErrorCode code;
  };
  for (const Lacking& lacking : {
           Lacking{"\0.BTF\0"sv, "\0.BTG"sv, ErrorCode::kNotFound},
           Lacking{"Linux version 9"sv, "Linus"sv, ErrorCode::kMalformed},
           Lacking{"0\0001\0002\0003\0"sv, "x"sv, ErrorCode::kNotFound},
       }) {
    const auto profile = Profile::build(
        directory_.write("bad", without(kernel_.vmlinux, lacking.what, lacking.instead)));
    ASSERT_FALSE(profile) << lacking.what;
    EXPECT_EQ(profile.error().code, lacking.code) << profile.error().message();
    EXPECT_NE(profile.error().detail.find("/bad"), std::string::npos);
  }
}

/// Kernels as they are shipped: SEVMON_TEST_VMLINUZ=PATH[:PATH…].
TEST(RealKernels, ProfilesHoldWhatEveryKernelHas) {
  const char* list = std::getenv("SEVMON_TEST_VMLINUZ");
  if (list == nullptr || *list == '\0') GTEST_SKIP() << "SEVMON_TEST_VMLINUZ names no kernels";
  const Directory directory;
  std::istringstream paths{list};
  for (std::string path; std::getline(paths, path, ':');) {
    SCOPED_TRACE(path);
    const auto profile = Profile::build(path);
    ASSERT_TRUE(profile) << profile.error().message();
    std::cout << path << ": " << profile->release() << ", " << profile->symbol_count()
              << " symbols, " << profile->type_count() << " types\n";
    // A file called vmlinuz-RELEASE holds that release.
    const std::string name = std::filesystem::path{path}.filename().string();
    EXPECT_TRUE(!name.starts_with("vmlinuz-") || name == "vmlinuz-" + profile->release());
    EXPECT_EQ(profile->build_id().size(), 40u);
    EXPECT_EQ(profile->file_bytes(), std::filesystem::file_size(path));
    EXPECT_GT(profile->symbol_count(), 30'000u);
    EXPECT_GT(profile->type_count(), 30'000u);

    // Kernel text is linked at 0xffffffff80000000 and up, per-CPU symbols once were not.
    const auto text = profile->symbol("_text").value(), etext = profile->symbol("_etext").value();
    EXPECT_GE(text.value, 0xffffffff80000000);
    EXPECT_GT(etext.value, text.value);
    for (const char* function : {"schedule", "vfs_read", "do_exit", "commit_creds"}) {
      EXPECT_GE(profile->symbol(function).value(), text) << function;
      EXPECT_LT(profile->symbol(function).value(), etext) << function;
    }
    for (const char* data : {"init_task", "init_top_pgt", "linux_banner", "modules", "init_mm"})
      EXPECT_GE(profile->symbol(data).value(), etext) << data;
    EXPECT_EQ(profile->symbol("init_top_pgt").value().value % 4096, 0u);
    // Its neighbours leave it room: sizes and addresses come from different tables.
    const auto task_bytes = profile->size_of("task_struct").value();
    EXPECT_EQ(profile->symbol_at(profile->symbol("init_task").value() + (task_bytes - 1))->name,
              "init_task");
    const auto tables = profile->symbol("sys_call_table").value();
    EXPECT_EQ(profile->symbol_at(tables + 8)->name, "sys_call_table");

    EXPECT_EQ(profile->member("list_head", "prev").value(), (Member{8, 8, 0, 0}));
    EXPECT_EQ(profile->size_of("list_head").value(), 16u);
    EXPECT_EQ(profile->member("task_struct", "comm").value().size_bytes, 16u);
    EXPECT_LT(profile->member("task_struct", "comm").value().offset_bytes, task_bytes);
    EXPECT_EQ(profile->member("task_struct", "in_execve").value().bit_size, 1u);
    EXPECT_EQ(profile->enumerator("PIDTYPE_PID").value(), 0);
    EXPECT_EQ(profile->enumerator("MODULE_STATE_GOING").value(), 2);

    const std::string saved = directory.file("saved");
    ASSERT_TRUE(profile->save(saved));
    const auto loaded = Profile::load(saved);
    ASSERT_TRUE(loaded) << loaded.error().message();
    expect_same(*profile, *loaded);
  }
}

}  // namespace
}  // namespace sevmon::ids
