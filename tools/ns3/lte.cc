// The fleet workload in ns-3's LTE model: ten towers 1 km apart, vehicles at 60 km/h, X2 handovers by A3-RSRP. Radio, MAC and
// RRC run in every transmission interval of 1 ms. A handover keeps the address, so connections stay.
#include "exchange.h"
#include "ns3/lte-module.h"
#include "ns3/mobility-module.h"
#include "ns3/point-to-point-module.h"

using namespace ns3;

namespace {
uint64_t handovers = 0;
void HandoverEnded(std::string, uint64_t, uint16_t, uint16_t) { ++handovers; }
}  // namespace

int main(int argc, char* argv[]) {
  uint32_t vehicles = 10, towers = 10;
  double seconds = 60.0;
  CommandLine arguments(__FILE__);
  arguments.AddValue("vehicles", "number of vehicles", vehicles);
  arguments.AddValue("seconds", "simulated time", seconds);
  arguments.Parse(argc, argv);
  Config::SetDefault("ns3::TcpSocket::SegmentSize", UintegerValue(1400));
  Config::SetDefault("ns3::TcpSocket::InitialCwnd", UintegerValue(10));

  Ptr<LteHelper> lte = CreateObject<LteHelper>();
  Ptr<PointToPointEpcHelper> epc = CreateObject<PointToPointEpcHelper>();
  lte->SetEpcHelper(epc);
  lte->SetSchedulerType("ns3::RrFfMacScheduler");
  lte->SetHandoverAlgorithmType("ns3::A3RsrpHandoverAlgorithm");

  NodeContainer server, enbs, cars;
  server.Create(1);
  enbs.Create(towers);
  cars.Create(vehicles);
  InternetStackHelper stack;
  stack.Install(server);
  stack.Install(cars);

  PointToPointHelper link;
  link.SetDeviceAttribute("DataRate", StringValue("1Gbps"));
  link.SetChannelAttribute("Delay", StringValue("10ms"));
  Ipv4AddressHelper addresses;
  addresses.SetBase("10.200.0.0", "255.255.255.0");
  Ipv4InterfaceContainer lan = addresses.Assign(link.Install(epc->GetPgwNode(), server.Get(0)));
  Ipv4StaticRoutingHelper routing;
  routing.GetStaticRouting(server.Get(0)->GetObject<Ipv4>())
      ->AddNetworkRouteTo(Ipv4Address("7.0.0.0"), Ipv4Mask("255.0.0.0"), 1);

  MobilityHelper mobility;
  Ptr<ListPositionAllocator> places = CreateObject<ListPositionAllocator>();
  for (uint32_t i = 0; i < towers; ++i) places->Add(Vector(1000.0 * i, 0.0, 30.0));
  mobility.SetPositionAllocator(places);
  mobility.SetMobilityModel("ns3::ConstantPositionMobilityModel");
  mobility.Install(enbs);
  mobility.SetMobilityModel("ns3::ConstantVelocityMobilityModel");
  mobility.Install(cars);
  Ptr<UniformRandomVariable> uniform = CreateObject<UniformRandomVariable>();
  for (uint32_t i = 0; i < vehicles; ++i) {
    Ptr<ConstantVelocityMobilityModel> moving = cars.Get(i)->GetObject<ConstantVelocityMobilityModel>();
    moving->SetPosition(Vector(uniform->GetValue(0.0, 1000.0), 30.0, 1.5));
    moving->SetVelocity(Vector(1000.0 / 60.0, 0.0, 0.0));
  }

  NetDeviceContainer radios = lte->InstallEnbDevice(enbs);
  NetDeviceContainer modems = lte->InstallUeDevice(cars);
  epc->AssignUeIpv4Address(modems);
  for (uint32_t i = 0; i < vehicles; ++i)
    routing.GetStaticRouting(cars.Get(i)->GetObject<Ipv4>())->SetDefaultRoute(epc->GetUeDefaultGatewayAddress(), 1);
  lte->Attach(modems);
  lte->AddX2Interface(enbs);
  Config::Connect("/NodeList/*/DeviceList/*/LteEnbRrc/HandoverEndOk", MakeCallback(&HandoverEnded));

  exchange::Counts counts;
  exchange::Broker broker(server.Get(0), vehicles, counts);
  std::vector<std::unique_ptr<exchange::Vehicle>> fleet;
  for (uint32_t i = 0; i < vehicles; ++i)
    fleet.push_back(std::make_unique<exchange::Vehicle>(cars.Get(i), lan.GetAddress(1), i, false, counts));

  Simulator::Stop(Seconds(seconds));
  Simulator::Run();
  exchange::Report(vehicles, seconds, counts, handovers);
  Simulator::Destroy();
  return 0;
}
