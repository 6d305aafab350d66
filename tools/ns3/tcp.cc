// The fleet workload in ns-3 without a radio: each vehicle on a link of its own to a gateway, which reaches the broker over
// Ethernet. TCP runs segment by segment. A change of tower closes the connection.
#include "exchange.h"
#include "ns3/csma-module.h"
#include "ns3/point-to-point-module.h"

using namespace ns3;

int main(int argc, char* argv[]) {
  uint32_t vehicles = 10;
  double seconds = 600.0;
  CommandLine arguments(__FILE__);
  arguments.AddValue("vehicles", "number of vehicles", vehicles);
  arguments.AddValue("seconds", "simulated time", seconds);
  arguments.Parse(argc, argv);
  Config::SetDefault("ns3::TcpSocket::SegmentSize", UintegerValue(1448));
  Config::SetDefault("ns3::TcpSocket::InitialCwnd", UintegerValue(10));

  NodeContainer server, gateway, cars;
  server.Create(1);
  gateway.Create(1);
  cars.Create(vehicles);
  InternetStackHelper stack;
  stack.InstallAll();

  Ipv4AddressHelper addresses;
  CsmaHelper ethernet;
  ethernet.SetChannelAttribute("DataRate", StringValue("1Gbps"));
  ethernet.SetChannelAttribute("Delay", TimeValue(MicroSeconds(100)));
  addresses.SetBase("10.200.0.0", "255.255.255.0");
  Ipv4InterfaceContainer lan = addresses.Assign(ethernet.Install(NodeContainer(server, gateway)));

  PointToPointHelper link;
  link.SetDeviceAttribute("DataRate", StringValue("50Mbps"));
  link.SetChannelAttribute("Delay", StringValue("20ms"));
  addresses.SetBase("10.0.0.0", "255.255.255.252");
  Ipv4StaticRoutingHelper routing;
  for (uint32_t i = 0; i < vehicles; ++i) {
    Ipv4InterfaceContainer ends = addresses.Assign(link.Install(gateway.Get(0), cars.Get(i)));
    addresses.NewNetwork();
    routing.GetStaticRouting(cars.Get(i)->GetObject<Ipv4>())->SetDefaultRoute(ends.GetAddress(0), 1);
  }
  routing.GetStaticRouting(server.Get(0)->GetObject<Ipv4>())->SetDefaultRoute(lan.GetAddress(1), 1);

  exchange::Counts counts;
  exchange::Broker broker(server.Get(0), vehicles, counts);
  std::vector<std::unique_ptr<exchange::Vehicle>> fleet;
  for (uint32_t i = 0; i < vehicles; ++i)
    fleet.push_back(std::make_unique<exchange::Vehicle>(cars.Get(i), lan.GetAddress(0), i, true, counts));

  Simulator::Stop(Seconds(seconds));
  Simulator::Run();
  exchange::Report(vehicles, seconds, counts, 0);
  Simulator::Destroy();
  return 0;
}
