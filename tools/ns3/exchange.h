// The fleet workload of docs/speed.md over ns-3's TCP sockets: a broker that publishes, vehicles that acknowledge, ping and
// connect anew. Packets are bytes of the right number with a type in the first one; what is in them is not looked at.
#pragma once

#include <algorithm>
#include <cmath>
#include <ctime>
#include <iostream>
#include <map>
#include <memory>
#include <vector>

#include "ns3/core-module.h"
#include "ns3/internet-module.h"
#include "ns3/network-module.h"

namespace exchange {

using namespace ns3;

enum Type : uint8_t { CONNECT = 1, CONNACK, PUBLISH, PUBACK, PINGREQ, PINGRESP };

// encoded sizes of the packets that the lab's vehicles and broker exchange
inline uint32_t SizeOf(uint8_t type) {
  switch (type) {
    case CONNECT: return 44;
    case CONNACK: return 4;
    case PUBLISH: return 4126;  // 4 KiB and the topic
    case PUBACK: return 4;
    default: return 2;
  }
}

constexpr uint16_t kPort = 1883;
constexpr double kChunkS = 5.0, kPingS = 30.0, kTowerS = 60.0, kRefused = 0.2;
constexpr uint32_t kWindow = 20, kQueue = 100;

// Cuts the stream of one direction into packets.
class Parser {
 public:
  template <typename Handler>
  void Read(Ptr<Socket> socket, Handler handle) {
    while (Ptr<Packet> packet = socket->Recv()) {
      uint32_t n = packet->GetSize(), i = 0;
      if (n == 0) return;
      m_bytes.resize(n);
      packet->CopyData(m_bytes.data(), n);
      while (i < n) {
        if (m_left == 0) {
          m_type = m_bytes[i];
          m_left = SizeOf(m_type);
        }
        uint32_t step = std::min(m_left, n - i);
        m_left -= step;
        i += step;
        if (m_left == 0) handle(m_type);
      }
    }
  }

 private:
  std::vector<uint8_t> m_bytes;
  uint32_t m_left = 0;
  uint8_t m_type = 0;
};

inline void Send(Ptr<Socket> socket, uint8_t type, uint8_t vehicle_low = 0, uint8_t vehicle_high = 0) {
  std::vector<uint8_t> bytes(SizeOf(type), 0);
  bytes[0] = type;
  if (type == CONNECT) {
    bytes[1] = vehicle_low;
    bytes[2] = vehicle_high;
  }
  socket->Send(Create<Packet>(bytes.data(), bytes.size()));
}

struct Counts {
  uint64_t created = 0, delivered = 0, connects = 0, refused = 0;
};

// The server of all vehicles. CONNECT says which one it is.
class Broker {
 public:
  Broker(Ptr<Node> node, uint32_t vehicles, Counts& counts) : m_counts(counts), m_sessions(vehicles) {
    m_listening = Socket::CreateSocket(node, TcpSocketFactory::GetTypeId());
    m_listening->Bind(InetSocketAddress(Ipv4Address::GetAny(), kPort));
    m_listening->Listen();
    m_listening->SetAcceptCallback(MakeNullCallback<bool, Ptr<Socket>, const Address&>(),
                                   MakeCallback(&Broker::Accepted, this));
    Ptr<UniformRandomVariable> uniform = CreateObject<UniformRandomVariable>();
    for (uint32_t i = 0; i < vehicles; ++i)
      Simulator::Schedule(Seconds(uniform->GetValue(0.0, kChunkS)), &Broker::Create, this, i);
  }

 private:
  struct Session {
    Ptr<Socket> socket;
    uint32_t queued = 0, inflight = 0;
  };
  struct Connection {
    Parser parser;
    int vehicle = -1;
  };

  void Create(uint32_t vehicle) {
    ++m_counts.created;
    Session& session = m_sessions[vehicle];
    if (session.queued < kQueue) ++session.queued;
    Pump(session);
    Simulator::Schedule(Seconds(kChunkS), &Broker::Create, this, vehicle);
  }

  void Pump(Session& session) {
    while (session.socket && session.queued > 0 && session.inflight < kWindow) {
      --session.queued;
      ++session.inflight;
      Send(session.socket, PUBLISH);
    }
  }

  void Accepted(Ptr<Socket> socket, const Address&) {
    m_connections[socket] = std::make_unique<Connection>();
    socket->SetRecvCallback(MakeCallback(&Broker::Received, this));
    socket->SetCloseCallbacks(MakeCallback(&Broker::Closed, this), MakeCallback(&Broker::Closed, this));
  }

  void Received(Ptr<Socket> socket) {
    auto found = m_connections.find(socket);
    if (found == m_connections.end()) return;
    Connection& connection = *found->second;
    if (connection.vehicle < 0) {
      uint8_t head[3] = {0, 0, 0};
      Ptr<Packet> packet = socket->Recv(SizeOf(CONNECT), 0);
      if (!packet) return;
      packet->CopyData(head, 3);
      connection.vehicle = head[1] | head[2] << 8;
      Session& session = m_sessions[connection.vehicle];
      session.socket = socket;
      Send(socket, CONNACK);
      for (uint32_t i = 0; i < session.inflight; ++i) Send(socket, PUBLISH);  // again
      Pump(session);
    }
    Session& session = m_sessions[connection.vehicle];
    connection.parser.Read(socket, [&](uint8_t type) {
      if (type == PINGREQ) Send(socket, PINGRESP);
      if (type == PUBACK && session.inflight > 0) {
        --session.inflight;
        Pump(session);
      }
    });
  }

  void Closed(Ptr<Socket> socket) {
    auto found = m_connections.find(socket);
    if (found == m_connections.end()) return;
    int vehicle = found->second->vehicle;
    if (vehicle >= 0 && m_sessions[vehicle].socket == socket) m_sessions[vehicle].socket = nullptr;
    socket->Close();
    m_connections.erase(found);
  }

  Counts& m_counts;
  Ptr<Socket> m_listening;
  std::vector<Session> m_sessions;
  std::map<Ptr<Socket>, std::unique_ptr<Connection>> m_connections;
};

// One vehicle. `towers`: whether each change of tower ends the address, and so the connection.
class Vehicle {
 public:
  Vehicle(Ptr<Node> node, Ipv4Address server, uint32_t number, bool towers, Counts& counts)
      : m_counts(counts), m_node(node), m_server(server), m_number(number), m_uniform(CreateObject<UniformRandomVariable>()) {
    m_tower_s = towers ? kTowerS / m_uniform->GetValue(0.8, 1.2) : 0.0;
    Simulator::Schedule(Seconds(m_uniform->GetValue(0.1, 1.0)), &Vehicle::Connect, this);
    if (towers) Simulator::Schedule(Seconds(m_uniform->GetValue(1.0, m_tower_s)), &Vehicle::Change, this);
  }

 private:
  void Change() {
    if (m_socket) {
      Drop();
      m_attempts = 0;
    }
    m_retry.Cancel();
    m_retry = Simulator::Schedule(Seconds(m_uniform->GetValue(0.05, 0.45)), &Vehicle::Connect, this);
    Simulator::Schedule(Seconds(m_tower_s), &Vehicle::Change, this);
  }

  void Drop() {
    m_ping.Cancel();
    m_socket->SetConnectCallback(MakeNullCallback<void, Ptr<Socket>>(), MakeNullCallback<void, Ptr<Socket>>());
    m_socket->SetRecvCallback(MakeNullCallback<void, Ptr<Socket>>());
    m_socket->SetCloseCallbacks(MakeNullCallback<void, Ptr<Socket>>(), MakeNullCallback<void, Ptr<Socket>>());
    m_socket->Close();
    m_socket = nullptr;
  }

  void Connect() {
    ++m_counts.connects;
    m_parser = Parser();
    m_socket = Socket::CreateSocket(m_node, TcpSocketFactory::GetTypeId());
    m_socket->SetConnectCallback(MakeCallback(&Vehicle::Connected, this), MakeCallback(&Vehicle::Failed, this));
    m_socket->SetRecvCallback(MakeCallback(&Vehicle::Received, this));
    m_socket->Connect(InetSocketAddress(m_server, kPort));
  }

  void Connected(Ptr<Socket> socket) {
    if (m_uniform->GetValue() < kRefused) {  // here, as ns-3's sockets take no notice of an RST that answers their SYN
      ++m_counts.refused;
      Failed(socket);
      return;
    }
    m_attempts = 0;
    Send(socket, CONNECT, m_number & 255, m_number >> 8);
    m_ping = Simulator::Schedule(Seconds(kPingS), &Vehicle::Ping, this);
  }

  void Failed(Ptr<Socket> socket) {
    if (socket != m_socket) return;
    Drop();
    double wait_s = std::min(60.0, std::pow(2.0, m_attempts++)) * m_uniform->GetValue(0.5, 1.0);
    m_retry = Simulator::Schedule(Seconds(wait_s), &Vehicle::Connect, this);
  }

  void Ping() {
    Send(m_socket, PINGREQ);
    m_ping = Simulator::Schedule(Seconds(kPingS), &Vehicle::Ping, this);
  }

  void Received(Ptr<Socket> socket) {
    m_parser.Read(socket, [&](uint8_t type) {
      if (type == PUBLISH) {
        ++m_counts.delivered;
        Send(socket, PUBACK);
      }
    });
  }

  Counts& m_counts;
  Ptr<Node> m_node;
  Ipv4Address m_server;
  uint32_t m_number, m_attempts = 0;
  double m_tower_s;
  Ptr<UniformRandomVariable> m_uniform;
  Ptr<Socket> m_socket;
  Parser m_parser;
  EventId m_ping, m_retry;
};

// One line of JSON, with the CPU time of the process.
inline void Report(uint32_t vehicles, double seconds, const Counts& counts, uint64_t handovers) {
  std::cout << "{\"vehicles\": " << vehicles << ", \"seconds\": " << seconds << ", \"events\": " << Simulator::GetEventCount()
            << ", \"created\": " << counts.created << ", \"delivered\": " << counts.delivered
            << ", \"connects\": " << counts.connects << ", \"refused\": " << counts.refused << ", \"handovers\": " << handovers
            << ", \"cpu_s\": " << double(std::clock()) / CLOCKS_PER_SEC << "}" << std::endl;
}

}  // namespace exchange
