// SPDX-License-Identifier: Apache-2.0
#include "image_backend.hpp"

#include <errno.h>
#include <sys/stat.h>

#include <fstream>

#include "helper/fake_call.hpp"
#include "support/fake_session.hpp"

namespace sevmon::proxy::test {
namespace {

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

TEST_F(ImageBackendTest, AnswersAtOnceAlsoWhenStopped) {
  Settings settings;
  settings.backend = BackendKind::kImage;
  settings.image_format = "raw";
  settings.image_file = write("image", std::vector<std::uint8_t>(1 << 20));
  settings.image_key_file = write("key", tests::key_file({tests::test_key()}));
  auto backend = make_image_backend(settings);
  ASSERT_TRUE(backend) << backend.error().message();

  const auto hello = tests::hello_frame(tests::test_key().ids_id);
  const auto bytes = std::as_bytes(std::span{hello});
  std::vector<Backend::Submission> kept;  // each has its answer to itself
  for (int i = 0; i < 3; ++i) {
    if (i == 2) (*backend)->stop();
    kept.push_back((*backend)->submit(bytes));
    ASSERT_TRUE(kept.back().now);
    EXPECT_EQ(kept.back().now->error, 0);
  }
  const auto refused = (*backend)->submit(bytes.first(SEVMON_HANDSHAKE_FRAME_BYTES - 1));
  ASSERT_TRUE(refused.now);
  EXPECT_EQ(refused.now->error, EBADMSG);
  EXPECT_EQ(refused.now->frame.size(), 0u);
  for (const auto& submission : kept) {
    const auto challenge = submission.now->frame.bytes();
    ASSERT_EQ(challenge.size(), std::size_t{SEVMON_HANDSHAKE_FRAME_BYTES});
    EXPECT_EQ(challenge.front(), std::byte{SEVMON_FRAME_CHALLENGE});
  }
}

}  // namespace
}  // namespace sevmon::proxy::test
