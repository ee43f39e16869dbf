// SPDX-License-Identifier: Apache-2.0
#include "image_backend.hpp"

#include <sys/stat.h>

#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <fstream>

#include "asio.hpp"
#include "helper/fake_call.hpp"
#include "support/fake_session.hpp"

namespace sevmon::proxy::test {
namespace {

constexpr int kFrames = 500;  // more than two threads do before stop() is called

class ImageBackendTest : public ::testing::Test {
 protected:
  std::string write(const std::string& name, std::span<const std::uint8_t> bytes) {
    const auto path = directory_.file(name);
    std::ofstream{path, std::ios::binary}.write(reinterpret_cast<const char*>(bytes.data()),
                                                static_cast<std::streamsize>(bytes.size()));
    ::chmod(path.c_str(), 0600);
    return path;
  }

  TemporaryDirectory directory_;
};

TEST_F(ImageBackendTest, StopLeavesNobodyWaiting) {
  Settings settings;
  settings.backend = BackendKind::kImage;
  settings.image_format = "raw";
  settings.image_file = write("image", std::vector<std::uint8_t>(1 << 20));
  settings.image_key_file = write("key", tests::key_file({tests::test_key()}));
  auto backend = make_image_backend(settings);
  ASSERT_TRUE(backend) << backend.error().message();

  asio::io_context io{1};
  const auto hello = tests::hello_frame(tests::test_key().ids_id);
  const auto bytes = std::as_bytes(std::span{hello});
  int answered = 0;
  for (int i = 0; i < kFrames; ++i)
    asio::co_spawn(
        io,
        [&]() -> asio::awaitable<void> {
          const auto answer = co_await (*backend)->submit({bytes.begin(), bytes.end()});
          if (answer.error == 0) ++answered;
        },
        asio::detached);
  // All are handed over, and some are done.
  while (answered == 0) ASSERT_NE(io.run_one_for(std::chrono::seconds{60}), 0u);
  (*backend)->stop();
  io.run_for(std::chrono::seconds{20});
  EXPECT_EQ(answered, kFrames);
  EXPECT_TRUE(io.stopped()) << "nothing is left to wait for";
}

}  // namespace
}  // namespace sevmon::proxy::test
