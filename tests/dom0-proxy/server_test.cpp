// SPDX-License-Identifier: Apache-2.0
#include "server.hpp"

#include "proxy_fixture.hpp"

namespace sevmon::proxy::test {
namespace {

using Serving = ProxyTest;

TEST_F(Serving, RefusesConnectionsOverTheTotal) {
  settings_.limits.connections = 2;
  settings_.limits.connections_per_source = 2;
  start();
  Client first{endpoint_};
  const Client second{endpoint_};
  first.send(1, frame_of({.kind = Order::kProve}));
  second.send(1, frame_of({.kind = Order::kProve}));
  ASSERT_TRUE(first.receive());
  ASSERT_TRUE(second.receive());
  const Client third{endpoint_, "127.0.0.2"};
  EXPECT_EQ(third.receive_notice(), SEVMON_NOTICE_LIMIT);
  EXPECT_TRUE(third.at_end());
  first.close();
  wait_until([this] { return server_->connections() == 1; });
  const Client fourth{endpoint_};
  fourth.send(1, frame_of({}));
  EXPECT_EQ(fourth.receive()->notice, 0);
}

TEST_F(Serving, RefusesConnectionsOverASourcesShare) {
  settings_.limits.connections_per_source = 1;
  start();
  const Client first{endpoint_, "127.0.0.1"};
  first.send(1, frame_of({.kind = Order::kProve}));
  ASSERT_TRUE(first.receive());
  const Client greedy{endpoint_, "127.0.0.1"};
  EXPECT_EQ(greedy.receive_notice(), SEVMON_NOTICE_LIMIT);
  const Client other{endpoint_, "127.0.0.2"};
  other.send(1, frame_of({}));
  EXPECT_EQ(other.receive()->notice, 0);
}

/// A connection that is served: its first frame was answered.
Client served(const Endpoint& endpoint, const char* from, Order::Kind kind = Order::kEcho) {
  Client client{endpoint, from};
  client.send(1, frame_of({.kind = kind}));
  EXPECT_EQ(client.receive()->notice, 0);
  return client;
}

bool is_served(const Client& client) {
  client.send(2, frame_of({}));
  const auto received = client.receive();
  return received && received->notice == 0;
}

TEST_F(Serving, ANewcomerTakesTheOldestUnprovenPlaceOfItsSource) {
  settings_.limits.connections_per_source = 3;
  start();
  const auto proven = served(endpoint_, "127.0.0.1", Order::kProve);
  const auto oldest = served(endpoint_, "127.0.0.1");
  const auto younger = served(endpoint_, "127.0.0.1");
  const auto other = served(endpoint_, "127.0.0.2");
  const auto newcomer = served(endpoint_, "127.0.0.1");
  EXPECT_TRUE(oldest.at_end(false));
  EXPECT_TRUE(is_served(proven));
  EXPECT_TRUE(is_served(younger));
  EXPECT_TRUE(is_served(other));
  EXPECT_TRUE(is_served(newcomer));
  EXPECT_EQ(ask([this] { return server_->connections(); }), 4U);
}

TEST_F(Serving, ANewcomerTakesAPlaceOfTheSourceThatHasMost) {
  settings_.limits.connections = 5;
  settings_.limits.connections_per_source = 4;
  start();
  const auto lonely = served(endpoint_, "127.0.0.1");
  const auto proven = served(endpoint_, "127.0.0.2", Order::kProve);
  const auto oldest = served(endpoint_, "127.0.0.2");
  const auto younger = served(endpoint_, "127.0.0.2");
  const auto youngest = served(endpoint_, "127.0.0.2");
  const auto newcomer = served(endpoint_, "127.0.0.3");
  EXPECT_TRUE(oldest.at_end(false));
  for (const auto* client : {&lonely, &proven, &younger, &youngest, &newcomer})
    EXPECT_TRUE(is_served(*client));
}

TEST_F(Serving, NobodyLosesAPlaceToASourceThatHasAsMany) {
  settings_.limits.connections = 2;
  settings_.limits.connections_per_source = 2;
  start();
  const auto first = served(endpoint_, "127.0.0.1");
  const auto second = served(endpoint_, "127.0.0.2", Order::kProve);
  const Client greedy{endpoint_, "127.0.0.2"};
  EXPECT_EQ(greedy.receive_notice(), SEVMON_NOTICE_LIMIT);
  EXPECT_TRUE(is_served(first));
  EXPECT_TRUE(is_served(second));
}

TEST_F(Serving, DrainAnswersWhatWasTakenThenSaysGoodbye) {
  start();
  const Client client{endpoint_};
  client.send(1, frame_of({.kind = Order::kHold, .number = 1}));
  wait_until([this] { return backend_->holds(1); });
  ask([this] { server_->stop(); });
  wait_until([this] { return !Client{endpoint_}.connected(); });
  ask([this] { backend_->release(1); });
  EXPECT_EQ(client.receive()->tag, 1U);
  EXPECT_EQ(client.receive_notice(), SEVMON_NOTICE_SHUTDOWN);
  EXPECT_TRUE(client.at_end());
}

TEST_F(Serving, DrainIsBounded) {
  settings_.deadlines.drain = std::chrono::milliseconds{50};
  start();
  const Client client{endpoint_};
  client.send(1, frame_of({.kind = Order::kHold, .number = 1}));
  wait_until([this] { return backend_->holds(1); });
  ask([this] { server_->stop(); });
  EXPECT_TRUE(client.at_end(false));
  ask([this] { backend_->release(1); });  // lets the test's own bookkeeping come to zero
}

TEST_F(Serving, AnAddressInUseIsAnErrorWithItsName) {
  start();
  Settings settings;
  settings.listen = {endpoint_};
  const auto second = std::make_shared<Server>(io_.get_executor(), settings, backend_);
  const auto listening = second->listen();
  ASSERT_FALSE(listening);
  EXPECT_EQ(listening.error().code, common::ErrorCode::kIo);
  EXPECT_NE(listening.error().detail.find(to_text(endpoint_)), std::string::npos);
}

TEST(Sources, CountsWhatOneMachineHasToItself) {
  const auto source = [](const char* text) {
    return Sources::source_of(boost::asio::ip::make_address(text));
  };
  EXPECT_EQ(source("192.0.2.1"), source("::ffff:192.0.2.1"));
  EXPECT_NE(source("192.0.2.1"), source("192.0.2.2"));
  EXPECT_EQ(source("2001:db8::1"), source("2001:db8::ffff:ffff:ffff:ffff"));
  EXPECT_NE(source("2001:db8::1"), source("2001:db8:0:1::1"));
}

}  // namespace
}  // namespace sevmon::proxy::test
