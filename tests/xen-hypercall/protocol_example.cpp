// SPDX-License-Identifier: Apache-2.0
//
// Prints docs/protocol-example.txt: the agent and the reference initiator with every key and
// random byte fixed. With the file's name it compares instead.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <sstream>

#include "support/fake_session.hpp"

namespace sevmon::tests {
namespace {

constexpr std::uint64_t kBanner = 0xffffffff81e001a0, kAbsent = 0xffffffff82000000;
constexpr const char* kText = "Linux version 6.1.0-example (docs@sevmonitor)";

/// Bytes that are easy to find again in the output.
Bytes pattern(std::uint8_t first, std::size_t count) {
  Bytes bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::uint8_t>(first + i);
  return bytes;
}

class Text {
 public:
  void line(const std::string& text) { out_ << text << '\n'; }
  void value(const std::string& name, ByteView bytes) {
    out_ << name << " = " << to_hex(bytes) << '\n';
  }

  /// A frame or message, its fields one after another.
  void begin(const std::string& title, ByteView bytes) {
    out_ << "\n## " << title << ", " << bytes.size() << " bytes\n\n";
    bytes_ = Bytes(bytes.begin(), bytes.end());
    at_ = 0;
  }
  void field(std::size_t count, const std::string& comment) {
    const auto field = ByteView{bytes_}.subspan(at_, count);
    if (count > 32 && std::ranges::all_of(field, [](auto byte) { return byte == 0; })) {
      row(at_, "zero x " + std::to_string(count), comment);
    } else {
      for (std::size_t done = 0; done < count; done += 32)
        row(at_ + done, to_hex(field.subspan(done, std::min<std::size_t>(count - done, 32))),
            done ? "" : comment);
    }
    at_ += count;
  }
  void rest(const std::string& comment) { field(bytes_.size() - at_, comment); }
  void header() {
    field(1, "type");
    field(1, "version");
    field(1, "size class");
    field(1, "flags");
    field(4, "session");
    field(8, "n");
  }
  void sealed() {
    header();
    field(12, "random");
    field(bytes_.size() - 28 - 16, "body, encrypted");
    field(16, "tag");
  }
  void end() { require(at_ == bytes_.size(), "a field is missing"); }

  std::string str() const { return out_.str(); }

 private:
  void row(std::size_t offset, const std::string& what, const std::string& comment) {
    char text[16];
    std::snprintf(text, sizeof(text), "%05zx  ", offset);
    out_ << text << what << (comment.empty() ? "" : "  ") << comment << '\n';
  }

  std::ostringstream out_;
  Bytes bytes_;
  std::size_t at_ = 0;
};

void print_handshake(Text& text, const std::string& title, ByteView frame) {
  text.begin(title, frame);
  text.header();
  text.field(16, "IDS id");
  text.field(32, "ephemeral public key");
  text.field(64, "payload, encrypted");
  text.field(16, "tag");
  text.end();
}

void print_request_body(Text& text, const sevmon_request_body& body) {
  text.begin("The request's body in clear", bytes_of(body));
  text.field(2, "domain: Dom0");
  text.field(2, "vCPU");
  text.field(1, "root kind: the vCPU's");
  text.field(1, "levels");
  text.field(2, "items");
  text.field(8, "root frame");
  text.field(16, "reserved");
  for (const auto* what : {"of a page that is mapped", "of one that is not"}) {
    text.field(1, "type: READ_VIRTUAL");
    text.field(1, "reserved");
    text.field(2, "bytes");
    text.field(4, "argument");
    text.field(8, std::string{"address "} + what);
  }
  text.rest("57 unused items");
}

void print_response_body(Text& text, ByteView body) {
  text.begin("The response's body in clear", body);
  text.field(8, "n");
  text.field(8, "time in ns");
  text.field(8, "root frame");
  text.field(2, "domain id");
  text.field(2, "vCPU");
  text.field(1, "levels");
  text.field(1, "target kind: PV");
  text.field(2, "answer status: OK");
  text.field(2, "items");
  text.field(2, "reserved");
  text.field(4, "used bytes of the data area");
  text.field(16, "reserved");
  text.field(8, "result: OK, level 1, 45 bytes");
  text.field(8, "result: NOT_MAPPED, level 2, 8 bytes");
  text.field(57 * 8, "unused results");
  text.field(45, "data of the first item");
  text.field(3, "up to the next multiple of 8");
  text.rest("the second item's 8 bytes, and the rest of the page");
}

std::string make_example() {
  const auto boot_nonce = pattern(0xb0, 16), boot_secret = pattern(0x01, 32),
             first_challenge = pattern(0xc0, 16), next_challenge = pattern(0xd0, 16),
             responder = pattern(0x60, 32), response_random = pattern(0xf0, 12),
             request_random = pattern(0xe0, 12);
  TestKey key;
  key.ids_id = to_array<16>(pattern(0x10, 16));
  key.psk = to_array<32>(pattern(0x20, 32));
  const InitiatorOptions options{.connection_id = to_array<16>(pattern(0x90, 16)),
                                 .size_class = SEVMON_CLASS_1_PAGE,
                                 .ephemeral = to_array<32>(pattern(0x40, 32))};

  FakeHost host;
  host.now_ns = 1'000'000'000'000;
  host.scripted_random = reference::join(
      {boot_nonce, boot_secret, first_challenge, next_challenge, responder, response_random});
  host.guest.map(kBanner, kText);
  FakeAgent agent{host, {key}};

  Text text;
  text.line("# SEVmonitor protocol, version 1: worked example");
  text.line("#");
  text.line(
      "# Made by tests/xen-hypercall/protocol_example.cpp, which also checks it. Each row has");
  text.line(
      "# an offset, bytes in their order, and what they are; \"zero x 64\" stands for 64 zero");
  text.line("# bytes. Everything is hexadecimal but such counts.");
  text.line("");
  text.value("agent_id", kAgentId);
  text.value("ids_id", key.ids_id);
  text.value("psk", key.psk);
  text.value("boot_nonce", boot_nonce);
  text.value("challenge", first_challenge);
  text.value("connection_id", options.connection_id);
  text.value("initiator_ephemeral_secret", options.ephemeral);
  text.value("responder_ephemeral_secret", responder);

  const auto hello = hello_frame(key.ids_id);
  text.begin("HELLO", hello);
  text.header();
  text.field(16, "IDS id");
  text.field(112, "reserved");
  text.end();

  const auto answer = agent.frame(hello).frame;
  text.begin("CHALLENGE", answer);
  text.header();
  text.field(16, "IDS id");
  text.field(16, "agent id");
  text.field(16, "boot nonce");
  text.field(16, "challenge");
  text.field(64, "reserved");
  text.end();

  Initiator initiator{key.ids_id, key.psk, answer, options};
  print_handshake(text, "INITIATE", initiator.frame());
  const auto accept = agent.frame(initiator.frame()).frame;
  print_handshake(text, "ACCEPT", accept);
  const auto session = initiator.finish(accept);

  text.begin("ACCEPT's payload in clear", bytes_of(session.accept()));
  text.field(2, "status: accepted");
  text.field(2, "reserved");
  text.field(4, "session number");
  text.field(8, "agent's time in ns");
  text.field(48, "reserved");
  text.end();

  const auto& pending = agent.state().ids[0].connection[0].pending;
  text.line("\n## Split()\n");
  text.value("request_key", pending.request_key);
  text.value("response_key", pending.response_key);

  const auto body =
      request_body({read_virtual(kBanner, static_cast<std::uint16_t>(std::strlen(kText))),
                    read_virtual(kAbsent, 8)});
  print_request_body(text, body);
  const auto request = session.request(session.header(0), bytes_of(body), request_random);
  text.begin("REQUEST", request);
  text.sealed();
  text.end();

  const auto response = agent.frame(request).frame;
  const auto opened = session.open(response);
  require(opened.has_value(), "RESPONSE does not verify");
  const ReferenceResponse parts{*opened};
  require(parts.results[0].status == SEVMON_STATUS_OK && parts.results[0].bytes == 45 &&
              parts.results[1].status == SEVMON_STATUS_NOT_MAPPED && parts.results[1].level == 2,
          "not the results that the comments name");
  print_response_body(text, *opened);
  text.begin("RESPONSE", response);
  text.sealed();
  text.end();
  return text.str();
}

int compare(const std::string& made, const char* path) {
  std::ifstream in{path};
  const std::string committed{std::istreambuf_iterator<char>{in}, {}};
  if (made == committed) return 0;
  std::istringstream a{made}, b{committed};
  std::string line_a, line_b;
  for (unsigned line = 1;; ++line) {
    const bool more_a = !!std::getline(a, line_a), more_b = !!std::getline(b, line_b);
    if (line_a == line_b && more_a && more_b) continue;
    std::fprintf(stderr, "%s:%u: says\n  %s\nand the code makes\n  %s\n", path, line,
                 line_b.c_str(), line_a.c_str());
    return 1;
  }
}

}  // namespace
}  // namespace sevmon::tests

int main(int argc, char** argv) {
  const auto made = sevmon::tests::make_example();
  if (argc == 2) return sevmon::tests::compare(made, argv[1]);
  std::fputs(made.c_str(), stdout);
  return 0;
}
